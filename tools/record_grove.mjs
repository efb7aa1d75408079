// Makes calls on Grove's own stores, at a moment that stands still, and prints what they return.
//   node record_grove.mjs URL ZONE NOW CALLS
import { NexusBountyStore, NexusClaimStore, NexusHttpClient } from "./grove.mjs";

const [url, zoneId, now, calls] = process.argv.slice(2);
const moment = Date.parse(now);
globalThis.Date = class extends Date {
  constructor(...given) {
    super(...(given.length ? given : [moment]));
  }
  static now() {
    return moment;
  }
};

const client = new NexusHttpClient({ url, timeoutMs: 5000 });
const config = { client, zoneId, retryMaxAttempts: 1 };
const stores = { bounties: new NexusBountyStore(config), claims: new NexusClaimStore(config) };

const answers = [];
for (const { on, call, args } of JSON.parse(calls)) {
  try {
    answers.push((await stores[on][call](...args)) ?? null);
  } catch (error) {
    answers.push({ error: error.constructor.name, message: error.message });
  }
}
console.log(JSON.stringify(answers));
