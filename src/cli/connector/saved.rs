//! A reply or a notification out of a file: a body alone, or a whole HTTP message as it is copied out of a documentation.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, anyhow, bail};

const LENGTH_MAX: u64 = 64 << 20;

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

pub(super) struct Request {
    /// The path of the address, and what stands behind its `?`, if the file has an address.
    pub(super) path: Option<String>,
    pub(super) query: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

pub(super) fn reply(path: &Path, status: u16, headers: &[String]) -> anyhow::Result<Reply> {
    let bytes = bytes(path)?;
    let mut headers = headers.iter().map(|text| header(text)).collect::<anyhow::Result<Vec<_>>>()?;
    if bytes.starts_with(b"HTTP/") {
        return whole_reply(&bytes, headers).with_context(|| format!("{} is no HTTP response", path.display()));
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    Ok(Reply { status, headers, body: bytes })
}

pub(super) fn request(path: &Path, headers: &[String]) -> anyhow::Result<Request> {
    let bytes = bytes(path)?;
    let headers = headers.iter().map(|text| header(text)).collect::<anyhow::Result<Vec<_>>>()?;
    if [b"POST ".as_slice(), b"GET ".as_slice(), b"PUT ".as_slice()].iter().any(|method| bytes.starts_with(method)) {
        return whole_request(&bytes, headers).with_context(|| format!("{} is no HTTP request", path.display()));
    }
    Ok(Request { path: None, query: None, headers, body: bytes })
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let shown = path.display();
    if path == Path::new("-") {
        std::io::stdin().take(LENGTH_MAX).read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {shown}"))?;
        file.take(LENGTH_MAX).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    }
    Ok(bytes)
}

/// `HTTP/1.1 200 OK`, headers, an empty line, and the body.
fn whole_reply(bytes: &[u8], headers: Vec<(String, String)>) -> anyhow::Result<Reply> {
    let (first, headers, body) = whole(bytes, headers)?;
    let status = first.split_ascii_whitespace().nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| anyhow!("its first line has no status"))?;
    Ok(Reply { status, headers, body })
}

/// `POST /hooks/acme?a=b HTTP/1.1`, headers, an empty line, and the body.
fn whole_request(bytes: &[u8], headers: Vec<(String, String)>) -> anyhow::Result<Request> {
    let (first, headers, body) = whole(bytes, headers)?;
    let address = first.split_ascii_whitespace().nth(1).ok_or_else(|| anyhow!("its first line has no address"))?;
    let (path, query) = match address.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (address, None),
    };
    Ok(Request { path: Some(path.to_owned()), query, headers, body })
}

type Whole = (String, Vec<(String, String)>, Vec<u8>);

/// The first line, the headers, and the body as it is, whatever `content-length` says of another time.
fn whole(bytes: &[u8], mut headers: Vec<(String, String)>) -> anyhow::Result<Whole> {
    let ends = [b"\r\n\r\n".as_slice(), b"\n\n".as_slice()];
    let end = ends.iter().filter_map(|mark| Some((position(bytes, mark)?, mark.len()))).min();
    let (at, length) = end.unwrap_or((bytes.len(), 0));
    let head = std::str::from_utf8(&bytes[..at]).map_err(|_| anyhow!("its head is not text"))?;
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        headers.push(header(line)?);
    }
    Ok((first, headers, bytes[at + length..].to_vec()))
}

fn header(text: &str) -> anyhow::Result<(String, String)> {
    let Some((name, value)) = text.split_once(':') else { bail!("a header is `name: value`, not `{text}`") };
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn position(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_response_is_taken_apart() {
        let reply = whole_reply(b"HTTP/1.1 402 Payment Required\r\nA: b\r\n\r\n{\"x\": 1}\n", Vec::new()).unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (402, b"{\"x\": 1}\n".as_slice()));
        assert_eq!(reply.headers, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(whole_reply(b"HTTP/2 204\nA: b\n", Vec::new()).unwrap().status, 204);
        let told = whole_request(b"POST /hooks/acme?a=b&c=d HTTP/1.1\nX: y\n\nbody", Vec::new()).unwrap();
        assert_eq!((told.query.as_deref(), told.body.as_slice()), (Some("a=b&c=d"), b"body".as_slice()));
        assert_eq!(told.path.as_deref(), Some("/hooks/acme"));
        assert!(whole_reply(b"HTTP/1.1\n\n", Vec::new()).is_err());
        assert!(whole_reply(b"HTTP/1.1 200 OK\nno header\n\n", Vec::new()).is_err());
    }
}
