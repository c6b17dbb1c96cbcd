//! What must stay the same over a restart: the gateway's keys, and the ports of the servers.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::tls::bind_loopback;

/// The key of this name in the directory; made, and kept there, the first time. Without a directory it is made anew.
pub(super) fn kept<E: From<io::Error>>(
    dir: Option<&Path>,
    name: &str,
    make: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, E>,
) -> Result<Zeroizing<Vec<u8>>, E> {
    let Some(dir) = dir else { return make() };
    let path = dir.join(name);
    if path.exists() {
        return Ok(Zeroizing::new(fs::read(path)?));
    }
    let key = make()?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

/// A port for a server: the one that it had last time, if that is free. Pages that customers have open stay valid.
pub(super) fn port(dir: Option<&Path>, name: &str) -> io::Result<TcpListener> {
    let Some(dir) = dir else { return bind_loopback() };
    let path = dir.join(format!("{name}.port"));
    let known: Option<u16> = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    if let Some(listener) = known.and_then(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()) {
        return Ok(listener);
    }
    let listener = bind_loopback()?;
    fs::write(path, listener.local_addr()?.port().to_string())?;
    Ok(listener)
}
