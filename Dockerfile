# spreaview-sync without the sandbox: worker, projector and the other commands.
FROM python:3.13-slim AS built

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source

COPY requirements requirements
# Without pip in it: the image holds nothing that installs packages.
RUN python -m venv --without-pip /opt/spreaview-sync \
    && pip --python /opt/spreaview-sync/bin/python install --require-hashes -r requirements/runtime.txt
# The build backend is installed by hash, too: these are its lines of the development requirements.
RUN awk '/^[a-z]/ { wanted = /^setuptools==/ } wanted' requirements/development.txt > build.txt \
    && pip install --require-hashes -r build.txt

COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/spreaview-sync/bin/python install --no-deps --no-index /wheels/*.whl


FROM python:3.13-slim

ENV PATH=/opt/spreaview-sync/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SPREAVIEW_LOG_FORMAT=json
COPY --from=built /opt/spreaview-sync /opt/spreaview-sync

RUN useradd --system --create-home --uid 10001 spreaview
USER spreaview
WORKDIR /home/spreaview

# Nothing is written to the file system: run it with --read-only. A command without the port, such as
# migrate, counts as healthy.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os; from urllib import request; port = os.environ.get('SPREAVIEW_HEALTH_PORT'); port and request.urlopen(f'http://127.0.0.1:{port}/ready', timeout=4)"]

ENTRYPOINT ["spreaview-sync"]
CMD ["--help"]
