//! What `up` prints when it works: addresses, a token, and commands to paste.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::layout::{Layout, TENANT};
use super::ports::Ports;
use crate::output::Style;

/// Prints it all.
pub(super) fn print(layout: &Layout, ports: &Ports, token: &str, took: Duration) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let text = text(layout, ports, token, took, &program, Style::of_stdout());
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn text(layout: &Layout, ports: &Ports, token: &str, took: Duration, program: &Path, style: Style) -> String {
    let [inside, outside, request] = commands(layout, ports, program);
    let (bold, dim) = (|text: &str| style.bold(text), |text: &str| style.dim(text));
    format!(
        "
{up}
An event went from a client with a token through the gateway to a service with a certificate,
and its answer back, in {took:.1?}.

  event-gateway  tls://{gateway:<21}  {door}
  internal-bus   tls://{bus:<21}  {core}
  link           tls://{link:<21}  {leaf}
  monitoring     http://{gateway_admin}/ and http://{bus_admin}/
  files          {root}

{token_title} {token_note}
{token}

{title}

{first}
{inside}

{second}
{outside}

{third}
{request}

{end}
",
        up = bold("Gatehouse is up."),
        gateway = ports.gateway().to_string(),
        bus = ports.bus().to_string(),
        link = ports.link().to_string(),
        door = dim("outside: TLS and a bearer token"),
        core = dim("inside: mutual TLS"),
        leaf = dim("between them: leafnode protocol, mutual TLS"),
        gateway_admin = ports.gateway_admin(),
        bus_admin = ports.bus_admin(),
        root = layout.root().display(),
        token_title = bold("Token"),
        token_note =
            dim(&format!("(tenant {TENANT}, good for a day, also in {})", layout.token_file().display())),
        title = bold("Paste into other terminals:"),
        first = dim("# 1. inside: a service subscribes, with its certificate"),
        second = dim("# 2. outside: a partner publishes, with its token"),
        third = dim("# 3. outside: a partner asks, a service inside answers"),
        end = bold("Ctrl-C stops both."),
    )
}

/// Subscribe inside, publish outside, request from outside.
fn commands(layout: &Layout, ports: &Ports, program: &Path) -> [String; 3] {
    let program = quoted(program);
    let cert = |file: &str| quoted(&layout.cert(file));
    let inside = format!(
        "--server tls://{} --tls-ca {} \\\n  --tls-cert {} --tls-key {}",
        ports.bus(),
        cert("internal-ca.crt"),
        cert("billing.crt"),
        cert("billing.key")
    );
    let outside = format!(
        "--server tls://{} --tls-ca {} \\\n  --token-file {}",
        ports.gateway(),
        cert("frontend-ca.crt"),
        quoted(&layout.token_file())
    );
    [
        format!("{program} sub 'orders.>' \\\n  {inside}"),
        format!("{program} pub orders.{TENANT}.created '{{\"id\": 7}}' \\\n  {outside}"),
        format!("{program} request orders.{TENANT}.status '{{\"id\": 7}}' \\\n  {outside}"),
    ]
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_for_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.d_e")), "/a/b-c.d_e");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
