# spreaview-sync without the sandbox: worker, projector and the other commands.
FROM python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SPREAVIEW_LOG_FORMAT=json
WORKDIR /app

COPY requirements/runtime.txt requirements/runtime.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/runtime.txt

COPY . .
RUN pip install --no-cache-dir --no-deps . && rm -rf build *.egg-info \
    && useradd --system --no-create-home spreaview

USER spreaview
ENTRYPOINT ["spreaview-sync"]
CMD ["--help"]
