// What the page asks the service of policies, operating tables and performance. Shows nothing.

import { call, json } from "./service.js";

const JSON_BODY = { "Content-Type": "application/json" };

const withTag = async (response) => ({ tag: response.headers.get("ETag"), document: await response.json() });

/** Return the sites that the reader sees, by name. */
export async function policySites() {
  const { policies } = await call("/v1/policies", { read: json });
  return policies.map(({ site }) => site);
}

/**
 * Return a site's policies with their tag: `{ tag, document }`.
 * @param {string} site
 */
export function policiesOf(site) {
  return call(`/v1/policies/${encodeURIComponent(site)}`, { read: withTag });
}

/**
 * Save a policy; return what `policiesOf` then returns. Saving the same twice makes one version.
 * @param {string} site
 * @param {object} policy body of `PUT /v1/policies/{site}`
 * @param {string} tag of the policies that the reader saw
 */
export function savePolicy(site, policy, tag) {
  const headers = { ...JSON_BODY, "If-Match": tag };
  const options = { method: "PUT", headers, body: JSON.stringify(policy), read: withTag };
  return call(`/v1/policies/${encodeURIComponent(site)}`, options);
}

/**
 * Return what a threshold would have decided on a site's last films; it decides nothing.
 * @param {string} site
 * @param {{threshold: number, model_digest: string, last: number}} asked
 * @param {AbortSignal} unless aborted once another threshold is asked for
 */
export function previewOf(site, asked, unless) {
  const options = { method: "POST", headers: JSON_BODY, body: JSON.stringify(asked), unless, read: json };
  return call(`/v1/policies/${encodeURIComponent(site)}/preview`, options);
}

/** Return a model's operating points and the table behind them. */
export function operatingPoints(digest) {
  return call(`/v1/models/${digest}/operating-points`, { read: json });
}

/**
 * Return what readers found of a site's decisions.
 * @param {{site: string|null, since: string|null}} wanted `since` as YYYY-MM-DD
 */
export function performanceOf(wanted) {
  const known = Object.entries(wanted).filter(([, value]) => value !== null);
  return call(`/v1/performance?${new URLSearchParams(known)}`, { read: json });
}
