# syntax=docker/dockerfile:1
# The program, small: built on Debian 12, run on Debian 12's slim image as a user without rights. The
# root file system can be read-only; what is written goes to /var/lib/reelmill and /tmp.
#
#   docker build --tag reelmill:0.1.0 .

FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      clang cmake g++ libavcodec-dev libavdevice-dev libavfilter-dev libavformat-dev libavutil-dev \
      libclang-dev libcurl4-openssl-dev libswresample-dev libswscale-dev make pkg-config python3-pip \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# ONNX Runtime, which no crate carries: before the sources, so that changing those does not fetch it anew.
COPY scripts/onnxruntime.sh scripts/
RUN scripts/onnxruntime.sh && cp -rL "$HOME/.cache/reelmill/onnxruntime" /onnxruntime
COPY . .
RUN cargo build --release --locked --bin reelmill \
 && strip --strip-debug target/release/reelmill

FROM debian:bookworm-slim
# FFmpeg's libraries in the versions that the program was built against.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      ca-certificates libavcodec59 libavformat59 libavutil57 libswresample4 libswscale6 \
 && rm -rf /var/lib/apt/lists/* \
 && install --directory --owner 65532 --group 65532 /var/lib/reelmill
COPY --from=build /onnxruntime /usr/local/lib/onnxruntime
COPY --from=build /src/target/release/reelmill /usr/local/bin/reelmill
COPY --from=build /src/LICENSE /usr/local/share/doc/reelmill/
ENV REELMILL_ONNXRUNTIME=/usr/local/lib/onnxruntime/libonnxruntime.so \
    REELMILL_DATA=/var/lib/reelmill
USER 65532:65532
VOLUME /var/lib/reelmill
# Health and metrics of `run`, API of `serve`, detector of `vision`.
EXPOSE 9464 8080 9001
ENTRYPOINT ["reelmill"]
CMD ["--help"]
