# The engine without embedded servers: give it TIDEGATE_DATABASE_URL and TIDEGATE_VALKEY_URL
# (or …_FILE). The commands are `tidegate api`, `tidegate worker`, `tidegate migrate`.

FROM docker.io/library/python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/tidegate
WORKDIR /src
# The dependencies first: they change less often than the code, so this layer is kept.
COPY ops/requirements.image.lock ops/requirements.image.lock
RUN /opt/tidegate/bin/python -m pip install --require-hashes -r ops/requirements.image.lock
COPY pyproject.toml README.md LICENSE ./
COPY lua lua
COPY engine engine
RUN /opt/tidegate/bin/python -m pip install --no-deps --no-build-isolation . \
    && /opt/tidegate/bin/python -m pip uninstall --yes hatchling pathspec pluggy trove-classifiers pip \
    && /opt/tidegate/bin/python -m compileall -q /opt/tidegate/lib

FROM docker.io/library/python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Tidegate" \
      org.opencontainers.image.description="The order engine behind a brand's sales days" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/tidegate /opt/tidegate
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin tidegate \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/tidegate
ENV PATH=/opt/tidegate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TIDEGATE_HTTP_HOST=0.0.0.0 \
    TIDEGATE_DATA_DIR=/var/lib/tidegate
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# For the API; a worker's container overrides it (--no-healthcheck), it listens on nothing.
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('TIDEGATE_HTTP_PORT', '8080') + '/healthz', timeout=2)"]
ENTRYPOINT ["tidegate"]
CMD ["api"]
