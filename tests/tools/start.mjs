// `npm start`: from a fresh clone to the inbox page. Sets up, builds, and runs `wrangler dev`, which builds again
// whenever a source changes. The rooms are kept in .wrangler/. Arguments go to `wrangler dev`.

import { build } from "./build.mjs";
import { main, node22, run, wrangler } from "./tools.mjs";

const PORT = "8787";

main(import.meta.url, async (args) => {
  await build();
  const port = valueOf(args, "--port") ?? PORT;
  const defaults = [...(valueOf(args, "--ip") ? [] : ["--ip", "127.0.0.1"]), ...(valueOf(args, "--port") ? [] : ["--port", PORT])];
  const url = port === PORT ? "" : ` --url http://127.0.0.1:${port}`;
  console.log(`
The inbox page:           http://127.0.0.1:${port}/
A token to sign in with:  npm run token -- --sub u1 --role admin --name Ann
An SMS, as Twilio's:      npm run sms -- --from +15550001111 --to +15552223333 --body hello${url}
`);
  const { code } = await run(node22(), [wrangler(), "dev", ...defaults, ...args], { allowFailure: true });
  process.exitCode = code;
});

function valueOf(args, name) {
  const at = args.findIndex((arg) => arg === name || arg.startsWith(`${name}=`));
  if (at < 0) return undefined;
  return args[at].includes("=") ? args[at].slice(name.length + 1) : args[at + 1];
}
