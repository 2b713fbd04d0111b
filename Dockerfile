# The tag is not pinned by digest here: whoever builds for production pins it to the image they trust.
FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements.lock ./
# The lock names every package: pip looks for no other, so that a newer release of one breaks nothing.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.lock

FROM python:3.12-slim
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
ENTRYPOINT ["python", "-m", "spotvortex"]
CMD ["run"]
