# syntax=docker/dockerfile:1
# The program, small: built on Debian 12, run on Debian 12's slim image as a user without rights. The
# root file system can be read-only; what is written goes to /var/lib/reelmill and /tmp.
#
#   docker build --tag reelmill:0.1.0 --build-arg VERSION="$(scripts/version.sh)" .

FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      clang cmake g++ libavcodec-dev libavdevice-dev libavfilter-dev libavformat-dev libavutil-dev \
      libclang-dev libcurl4-openssl-dev libssl-dev libswresample-dev libswscale-dev make pkg-config \
      python3-pip \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# ONNX Runtime, which no crate carries: before the sources, so that changing those does not fetch it anew.
COPY scripts/onnxruntime.sh scripts/
RUN scripts/onnxruntime.sh && cp -r "$HOME/.cache/reelmill/onnxruntime" /onnxruntime
COPY . .
# What `reelmill --version` says; Cargo's version where it is not given.
ARG VERSION
RUN REELMILL_VERSION="$VERSION" cargo build --release --locked --bin reelmill \
 && strip target/release/reelmill
RUN python3 scripts/dist/parts.py licenses --target "$(rustc -vV | sed -n 's/^host: //p')" > crates.txt

FROM debian:bookworm-slim
# FFmpeg's libraries in the versions that the program was built against; OpenSSL is for Kafka's client.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      ca-certificates libavcodec59 libavformat59 libavutil57 libssl3 libswresample4 libswscale6 \
 && rm -rf /var/lib/apt/lists/* \
 && install --directory --owner 65532 --group 65532 /var/lib/reelmill
# Where the program looks by itself.
COPY --from=build /onnxruntime /usr/local/lib/reelmill
COPY --from=build /src/target/release/reelmill /usr/local/bin/reelmill
COPY --from=build /src/LICENSE /src/NOTICE /src/crates.txt /usr/local/share/doc/reelmill/
ARG VERSION
LABEL org.opencontainers.image.version="$VERSION" org.opencontainers.image.licenses=Apache-2.0
ENV REELMILL_DATA=/var/lib/reelmill
USER 65532:65532
VOLUME /var/lib/reelmill
# Health and metrics of `run`, API of `serve`, detector of `vision`.
EXPOSE 9464 8080 9001
ENTRYPOINT ["reelmill"]
CMD ["--help"]
