// Leads TLS connections to the names of the real cloud to the simulator.
import tls from "node:tls";

const [host, port] = JSON.parse(process.env.MYSA_SIM).address.split(":");
const connect = tls.connect;

tls.connect = (options, ...rest) => {
  const name = options?.servername || options?.host;
  if (/(^|\.)(mysa\.cloud|amazonaws\.com)$/.test(name ?? "")) {
    return connect({ ...options, host, port, servername: name }, ...rest);
  }
  return connect(options, ...rest);
};
