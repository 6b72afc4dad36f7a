# spreaview-sync without the sandbox: worker, projector and the other commands.
FROM python:3.13-slim AS built

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source

COPY requirements requirements
RUN python -m venv /opt/spreaview-sync \
    && /opt/spreaview-sync/bin/pip install --require-hashes -r requirements/runtime.txt
# The build backend is installed by hash, too: these are its lines of the development requirements.
RUN awk '/^[a-z]/ { wanted = /^setuptools==/ } wanted' requirements/development.txt > build.txt \
    && pip install --require-hashes -r build.txt

COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/spreaview-sync/bin/pip install --no-deps --no-index /wheels/*.whl


FROM python:3.13-slim

ENV PATH=/opt/spreaview-sync/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SPREAVIEW_LOG_FORMAT=json
COPY --from=built /opt/spreaview-sync /opt/spreaview-sync

RUN useradd --system --create-home --uid 10001 spreaview
USER spreaview
WORKDIR /home/spreaview

ENTRYPOINT ["spreaview-sync"]
CMD ["--help"]
