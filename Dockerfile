# Build for production with the base by digest: --build-arg BASE=python:3.12-slim@sha256:...
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
WORKDIR /build
COPY requirements.lock ./
# The lock names every package: pip looks for no other, so that a newer release of one breaks nothing.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.lock \
    && /venv/bin/pip uninstall --yes --quiet pip setuptools
# What is in the image beside its base, as CycloneDX; it ends in error where the lock says otherwise.
COPY scripts/dist/sbom.py ./
RUN /venv/bin/python sbom.py --installed requirements.lock /venv/sbom.cdx.json

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="SpotVortex" \
      org.opencontainers.image.description="Decides how much of each workload pool may run on Spot" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=build /venv /venv
COPY LICENSE ./
# spotvortex/model/bundle is a link to ../../models.
COPY models ./models
COPY spotvortex ./spotvortex
USER 65532:65532
EXPOSE 8080
# Kubernetes asks by the probes of the Deployment instead.
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('SPOTVORTEX_HTTP_PORT', '8080') + '/healthz', timeout=5)"]
ENTRYPOINT ["python", "-m", "spotvortex"]
CMD ["run"]
