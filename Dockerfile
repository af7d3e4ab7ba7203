# The server on CPUs, with the builtin models and no others: docker build -t face-server .
FROM python:3.12-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/face
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY face_server face_server
COPY models/builtin models/builtin
COPY models/packs models/packs
RUN /opt/face/bin/pip install --no-cache-dir --constraint requirements.lock ".[cpu]"

FROM python:3.12-slim-bookworm
# Numbers, so that Kubernetes can see that it is not root.
RUN groupadd --gid 10001 face && useradd --uid 10001 --gid face --no-create-home --home-dir /data face \
 && install -d -o face -g face /data
COPY --from=build /opt/face /opt/face
ENV PATH=/opt/face/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FACE_HOST=0.0.0.0 \
    FACE_PORT=8300 \
    FACE_DATA_DIR=/data \
    FACE_LOG_FORMAT=json
USER 10001:10001
VOLUME /data
EXPOSE 8300
# Of the server. Where the same image runs a worker, the orchestrator is told another check.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['FACE_PORT'] + '/healthz', timeout=4)"]
ENTRYPOINT ["face-server"]
CMD ["serve"]
