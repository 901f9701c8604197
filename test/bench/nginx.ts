/** nginx as a peer: TLS on both sides and keep-alive upstream, as a reverse proxy, since it cannot intercept CONNECT. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** Writes a configuration into `dir`; returns nginx's arguments. `http2`: spoken to clients; its upstream gets HTTP/1.1. */
export function nginxArguments(
  dir: string,
  files: { cert: string; key: string; ca: string },
  port: number,
  originPort: number,
  http2 = false,
): string[] {
  mkdirSync(dir, { recursive: true })
  const config = `
daemon off; worker_processes 1; pid ${dir}/nginx.pid; error_log ${dir}/error.log;
events { worker_connections 8192; }
http {
  access_log off; client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  upstream origin { server 127.0.0.1:${originPort}; keepalive 64; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${port} ssl${http2 ? " http2" : ""}; ssl_certificate ${files.cert}; ssl_certificate_key ${files.key};
    keepalive_requests 1000000; proxy_buffering off; client_body_buffer_size 64k;
    location / {
      proxy_pass https://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_ssl_verify on; proxy_ssl_trusted_certificate ${files.ca}; proxy_ssl_name localhost; proxy_ssl_server_name on;
    }
  }
}
`
  const file = join(dir, "nginx.conf")
  writeFileSync(file, config)
  return ["-p", dir, "-c", file]
}
