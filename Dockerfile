# The gateway in a container: docker build -t llmproxy . && docker run -p 8080:8080 -v llmproxy:/data llmproxy
# It writes below /data and /tmp alone, so that the rest of it may be read-only (docker run --read-only --tmpfs /tmp).
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY build.mjs tsconfig.json tsconfig.build.json ./
COPY bin bin
COPY lib lib
COPY certs certs
COPY addons addons
RUN npm run build

FROM node:24-bookworm-slim
ENV NODE_ENV=production LLMPROXY_CONFDIR=/data
# An optional peer, which keys.redis needs: beside the program's own packages, where Node looks next.
RUN npm install --prefix /app --ignore-scripts --no-audit --no-fund ioredis@6.0.0 \
  && mkdir /data && chown node:node /data
WORKDIR /app/llmproxy
COPY package.json package-lock.json ./
# Without scripts: @photostructure/sqlite brings its binaries.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
COPY --from=build /src/dist dist
COPY addons addons
COPY docs docs
COPY README.md LICENSE ./
USER node
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/health/live').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/llmproxy/dist/bin/llmproxy.js"]
CMD ["-s", "gateway", "--host", "0.0.0.0", "-p", "8080", "--log-format", "json"]
