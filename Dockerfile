# One image for every role of rae-server: `docker build -t rae-memory .`, then `docker run rae-memory all`, `api`, `worker`, ...
#
# Tags move. To build from exactly the same bases again, give the digests that `docker buildx imagetools inspect` prints:
#   --build-arg RUST_DIGEST=@sha256:... --build-arg DEBIAN_DIGEST=@sha256:...
# and for the same Debian packages a moment of snapshot.debian.org, such as --build-arg DEBIAN_SNAPSHOT=20261101T000000Z.
# With SOURCE_DATE_EPOCH set as well (BuildKit takes it from the environment) and `--output type=image,rewrite-timestamp=true`,
# two builds differ in nothing that Debian's packages do not make differ themselves.

# The version of rust-toolchain.toml; tests/image compares them.
ARG RUST_VERSION=1.95.0
ARG RUST_DIGEST=""
ARG DEBIAN_DIGEST=""

FROM rust:${RUST_VERSION}-slim-bookworm${RUST_DIGEST} AS build
ARG RUST_VERSION
# The toolchain of the base, without the components for developers that rust-toolchain.toml would fetch.
ENV RUSTUP_TOOLCHAIN=${RUST_VERSION} \
    CARGO_INCREMENTAL=0 \
    CARGO_TERM_COLOR=never
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
# Members of the workspace that are not built here: cargo reads their manifests, and --locked wants them all.
COPY rae-py/Cargo.toml rae-py/Cargo.toml
COPY rae-py/src rae-py/src
COPY rae-node/Cargo.toml rae-node/build.rs rae-node/
COPY rae-node/src rae-node/src
COPY rae-core rae-core
COPY rae-server rae-server
ARG SOURCE_DATE_EPOCH
# The two caches stay on the builder, so that a change of the server does not build what it stands on again. They are not in
# the image: what is copied to /out is.
RUN --mount=type=cache,id=rae-cargo-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=rae-cargo-target,target=/src/target,sharing=locked \
    cargo build --release --locked -p rae-server \
    && install -D -m 0755 target/release/rae-server /out/rae-server

FROM debian:bookworm-slim${DEBIAN_DIGEST} AS final
ARG DEBIAN_SNAPSHOT=""
ARG SOURCE_DATE_EPOCH
# ca-certificates and curl are for people: the server has its own list of authorities, and curl is what the chart's README
# asks other services with. libgcc-s1 is what the binary is linked with, beside the C library.
# DL3008 wants versions of packages: Debian takes old ones away, so a pinned build would break within weeks. DEBIAN_SNAPSHOT
# pins all of them at once.
# hadolint ignore=DL3008
RUN if [ -n "${DEBIAN_SNAPSHOT}" ]; then \
      sed -i -E "s#http://deb.debian.org/(debian|debian-security)\$#http://snapshot.debian.org/archive/\\1/${DEBIAN_SNAPSHOT}/#" \
        /etc/apt/sources.list.d/debian.sources; \
    fi \
    && apt-get -o Acquire::Check-Valid-Until=false update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates \
      curl \
      libgcc-s1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/log/* \
    && groupadd --gid 1000 rae \
    && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /var/lib/rae --shell /usr/sbin/nologin rae \
    && install -d -o 1000 -g 1000 -m 0750 /var/lib/rae /var/cache/rae

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rae-memory" \
      org.opencontainers.image.description="RAE, the long-term memory of AI agents, as a service: one binary for all roles" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://github.com/dreamsoft-pro/RAE-agentic-memory" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"

COPY LICENSE /usr/share/doc/rae-server/LICENSE
# Owned by root: the server cannot change its own program, even where the root file system is not read-only.
COPY --from=build --chmod=0755 /out/rae-server /usr/local/bin/rae-server

# The server's own default is 127.0.0.1, on which nobody outside a container reaches it. Who publishes its port decides who may
# call: without RAE_API_MASTER_KEY (or RAE_AUTH=keys) the tenant's header is believed, and the server warns of that at the start.
# RAE_DATA_DIR is not set: `api`, `worker` and `migrate` are to refuse a start without a database. The embedded store of `all` lies
# in ./rae-data, that is in the volume.
ENV RAE_HOST=0.0.0.0
WORKDIR /var/lib/rae
# All that is ever written, beside /tmp: give these as volumes or tmpfs, and the root file system can be read-only.
VOLUME ["/var/lib/rae", "/var/cache/rae"]
# api and all, ml, reranker, worker (metrics and health).
EXPOSE 8000 8001 8002 8003
STOPSIGNAL SIGTERM
USER 1000:1000
# Asks the port of RAE_PORT, 8000 by default: a container of ml, reranker or worker sets RAE_PORT to its own, or a check of its own.
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=3 CMD ["/usr/local/bin/rae-server", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/rae-server"]
CMD ["all"]
