/**
 * Where systems keep all their roots in one PEM file, the common ones first. Alone in its file, because the proxy reads
 * it at each start and needs nothing else of what trust.ts loads.
 */
export const SYSTEM_BUNDLES: readonly string[] = [
  "/etc/ssl/certs/ca-certificates.crt", // Debian, Arch, Alpine, Gentoo, NixOS
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
  "/etc/pki/tls/certs/ca-bundle.crt", // older RHEL
  "/etc/ssl/ca-bundle.pem", // SUSE
  "/etc/ssl/cert.pem", // macOS, OpenBSD
  "/usr/local/etc/ssl/cert.pem", // FreeBSD
  "/etc/openssl/certs/ca-certificates.crt", // NetBSD
  "/data/data/com.termux/files/usr/etc/tls/cert.pem", // Termux on Android
]
