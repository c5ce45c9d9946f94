# Two stages: the build steps of README.md ("Build from source"), then the program alone.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential libssl-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What `forewarn version` says it was built from: docker build --build-arg FOREWARN_REVISION=$(git rev-parse --short=12 HEAD) .
ARG FOREWARN_REVISION=unknown
# The image's own toolchain is the one that Cargo.toml names; nothing is fetched through rustup.
RUN rm -f rust-toolchain.toml \
    && cargo build --release --locked --bin forewarn

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/forewarn --create-home --shell /usr/sbin/nologin forewarn
COPY --from=build /src/target/release/forewarn /usr/bin/forewarn
COPY --from=build /src/rules /etc/forewarn/rules
COPY --from=build /src/deploy/forewarn.toml /etc/forewarn/forewarn.toml
COPY --from=build /src/LICENSE /usr/share/doc/forewarn/LICENSE
# Relative paths of the configuration (database, snapshots) count from here; the rules stay beside the configuration.
ENV FOREWARN__RULES__PATH=/etc/forewarn/rules FOREWARN__HTTP__LISTEN=0.0.0.0:9290
# Rules look into large tables at random: large pages spare them much waiting (docs/operations.md, "Memory").
ENV GLIBC_TUNABLES=glibc.malloc.hugetlb=1
USER forewarn
WORKDIR /var/lib/forewarn
VOLUME /var/lib/forewarn
EXPOSE 9290
# Ready means: partitions assigned, database writable, rules loaded.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/bin/forewarn", "status", "-c", "/etc/forewarn/forewarn.toml"]
ENTRYPOINT ["/usr/bin/forewarn"]
CMD ["run", "-c", "/etc/forewarn/forewarn.toml"]
