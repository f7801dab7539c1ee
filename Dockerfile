# The program alone in a small image: docker build -t enas .
# docs/guide.md shows how to use it.

FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo install --locked --path crates/enas-cli

FROM debian:bookworm-slim
COPY --from=build /usr/local/cargo/bin/enas /usr/local/bin/enas
# Images come in and runs go out through this folder.
RUN useradd --create-home --uid 1000 enas && install --directory --owner=enas --group=enas /work
USER enas
WORKDIR /work
ENTRYPOINT ["enas"]
CMD ["--help"]
