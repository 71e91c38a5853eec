# The operator. The binary is compiled on the host and staged beside this file (see e2e/lib/images.sh).
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN test -e /etc/ssl/certs/ca-certificates.crt \
 || { apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*; }
COPY bin/streaming-operator /usr/local/bin/streaming-operator
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/streaming-operator"]
CMD ["run"]
