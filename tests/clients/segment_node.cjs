// Segment's Node client, sending the same calls to each address of a list, at the same time:
// `segment_node.cjs WRITE_KEY [{"url": …, "account": …}, …]`. Prints the errors of each as JSON.
const { Analytics } = require("@segment/analytics-node");

const CLOSE_TIMEOUT_MS = 60_000;

async function send(writeKey, { url, account, logins }) {
  const errors = [];
  const analytics = new Analytics({ writeKey, host: url, maxRetries: 3, flushInterval: 50 });
  analytics.on("error", (error) => errors.push(String(error.reason ?? error.code ?? error)));
  analytics.group({ userId: `user-of-${account}`, groupId: account, traits: { plan: "team" } });
  for (let n = 0; n < logins; n += 1) {
    analytics.track({ userId: `user-of-${account}`, event: "login", properties: { n } });
  }
  await analytics.closeAndFlush({ timeout: CLOSE_TIMEOUT_MS });
  return [account, errors];
}

const [writeKey, targets] = process.argv.slice(2);
Promise.all(JSON.parse(targets).map((target) => send(writeKey, target))).then((sent) => {
  console.log(JSON.stringify(Object.fromEntries(sent)));
});
