//! What `--help` prints.

/// The help text, lines of at most 100 characters, ending in a new line.
pub fn help_text() -> &'static str {
    HELP
}

const HELP: &str = "\
internal-bus: the message bus on the inside.

Usage: internal-bus --config FILE [options]
       internal-bus import --from DIR|URL --config FILE   (see `internal-bus import --help`)
       internal-bus store check|repair DIR [--json]

  -c, --config FILE            Configuration: FILE.toml is this server's own, any other name is
                               read as a nats-server configuration. Without it the options below
                               are the whole configuration.
      --ignore-unsupported     Settings of a nats-server configuration that are unknown or not
                               supported become warnings
      --allow-remote-plaintext Clients and links without TLS may come from other machines; without
                               it a listener without TLS is on loopback only
  -t                           Test the configuration and exit: 0 if it is valid, else 2
  -h, --help                   Show this text
  -v, --version                Show the version

The options of nats-server are understood as well, with one dash or two, and the value after a space
or `=`. They come before what the configuration file says.

Server
  -a, --addr, --net HOST       Listen for clients on this address (default: 0.0.0.0,
                               without TLS 127.0.0.1)
  -p, --port PORT              Listen for clients on this port, -1 for any free one (default: 4222)
      --client_advertise H:P   Tell clients this address in place of the one above
  -n, --name, --server_name N  Name of the server
  -m, --http_port PORT         Port for monitoring and metrics, -1 for any free one
  -P, --pid FILE               Write the process id to this file
      --ports_file_dir DIR     Write the URLs of all listeners to a file in this folder
  -sl, --signal SIG[=PID]      Signal a running server and exit: ldm, stop, quit, term, reopen,
                               reload. PID is a process id or a pid file.

Logging
  -l, --log FILE               Log to this file
      --log_size_limit BYTES   Begin a new log file after so many bytes
  -T, --logtime=BOOL           Log lines start with the time (default: true)
      --logtime_utc            That time is UTC
  -D, --debug                  Log more
  -V, --trace                  Log the protocol
  -DV                          Both
  -VV, -DVV                    The same, with the system account's protocol
      --max_traced_msg_len N   Log at most so many bytes of a message

Streams
  -js, --jetstream             Switch streams on
  -sd, --store_dir DIR         Keep them in this folder

Authorization
      --user NAME              User name that clients must show
      --pass PASSWORD          Password that clients must show
      --auth TOKEN             Token that clients must show

TLS
      --tls                    Speak TLS to clients; needs the next two
      --tlscert FILE           Certificate chain, PEM
      --tlskey FILE            Private key, PEM
      --tlsverify              Clients must show a certificate
      --tlscacert FILE         CA of the clients' certificates, PEM

Accepted and ignored, with a warning: the options for clusters (--cluster, --cluster_name, --routes,
--cluster_listen, --cluster_advertise, --connect_retries, --no_advertise), syslog (-s, --syslog, -r,
--remote_syslog), HTTPS monitoring (-ms, --https_port) and profiling (--profile).
";
