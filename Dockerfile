# The image of the server, and of what draws data sets: no training, no export, no compiler.
#
#   docker build -t carfront:cpu .
#   docker build -t carfront:generate --build-arg REQUIREMENTS=generate.txt .
#   docker build -t carfront:gpu --build-arg REQUIREMENTS=serve-gpu.txt .
#   docker run --rm -p 8000:8000 carfront:cpu

FROM python:3.11-slim-bookworm AS build

ARG REQUIREMENTS=serve.txt
COPY requirements/${REQUIREMENTS} /tmp/requirements.txt
# The base image's pip installs into the venv, so that the venv, and the image's PATH, have no pip.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python --no-cache-dir --disable-pip-version-check \
       install --require-hashes --only-binary :all: -r /tmp/requirements.txt
# Half of it is libraries that are there three times, tests, and tools for other networks.
COPY requirements/slim.py /tmp/slim.py
RUN python /tmp/slim.py /opt/venv/lib/python3.11/site-packages


FROM python:3.11-slim-bookworm

# The runtime directory exists for `docker run`; Kubernetes mounts memory over it.
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin carfront \
    && install --directory --owner=10001 --group=10001 /run/carfront

COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY models/ models/
COPY server/ server/
COPY inversion/ inversion/
COPY carfront/ carfront/
# A pod cannot write what Python compiles, and each of its processes would compile it anew.
RUN python -m compileall -q --invalidation-mode unchecked-hash server carfront inversion

# MALLOC_MMAP_THRESHOLD_: glibc gives a freed block of a MiB or more back at once. Without it the
# warm-up takes the container to 1.3 GiB in bf16 and 2.3 GiB in f32, with it to 0.4 GiB.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_MMAP_THRESHOLD_=1048576 \
    CARFRONT_HOST=0.0.0.0 \
    CARFRONT_PORT=8000 \
    CARFRONT_MODELS=/app/models \
    CARFRONT_RUNTIME_DIR=/run/carfront

USER 10001:10001
EXPOSE 8000

# http.client and not urlopen: a proxy in the environment must not answer for this container.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "\
import http.client, os, sys; \
server = http.client.HTTPConnection('127.0.0.1', int(os.environ['CARFRONT_PORT']), timeout=4); \
server.request('GET', '/readyz'); \
sys.exit(server.getresponse().status != 200)"]

# Exec form: gunicorn is process 1, so SIGTERM reaches it and accepted work is finished.
ENTRYPOINT ["gunicorn", "--config", "server/gunicorn.conf.py", "server.app:create_app()"]
