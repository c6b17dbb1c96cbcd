//! A reply out of a file: a body alone, or a whole HTTP response as it is copied out of a documentation.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, anyhow, bail};

const LENGTH_MAX: u64 = 64 << 20;

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

pub(super) fn read(path: &Path, status: u16, headers: &[String]) -> anyhow::Result<Reply> {
    let mut bytes = Vec::new();
    let shown = path.display();
    if path == Path::new("-") {
        std::io::stdin().take(LENGTH_MAX).read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {shown}"))?;
        file.take(LENGTH_MAX).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    }
    let mut headers = headers.iter().map(|text| header(text)).collect::<anyhow::Result<Vec<_>>>()?;
    if bytes.starts_with(b"HTTP/") {
        return whole(&bytes, headers).with_context(|| format!("{shown} is no HTTP response"));
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    Ok(Reply { status, headers, body: bytes })
}

/// `HTTP/1.1 200 OK`, headers, an empty line, and the body as it is, whatever `content-length` says of another time.
fn whole(bytes: &[u8], mut headers: Vec<(String, String)>) -> anyhow::Result<Reply> {
    let ends = [b"\r\n\r\n".as_slice(), b"\n\n".as_slice()];
    let end = ends.iter().filter_map(|mark| Some((position(bytes, mark)?, mark.len()))).min();
    let (at, length) = end.unwrap_or((bytes.len(), 0));
    let head = std::str::from_utf8(&bytes[..at]).map_err(|_| anyhow!("its head is not text"))?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split_ascii_whitespace().nth(1)).and_then(|code| code.parse().ok());
    for line in lines {
        headers.push(header(line)?);
    }
    let status = status.ok_or_else(|| anyhow!("its first line has no status"))?;
    Ok(Reply { status, headers, body: bytes[at + length..].to_vec() })
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
        let reply = whole(b"HTTP/1.1 402 Payment Required\r\nA: b\r\n\r\n{\"x\": 1}\n", Vec::new()).unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (402, b"{\"x\": 1}\n".as_slice()));
        assert_eq!(reply.headers, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(whole(b"HTTP/2 204\nA: b\n", Vec::new()).unwrap().status, 204);
        assert!(whole(b"HTTP/1.1\n\n", Vec::new()).is_err());
        assert!(whole(b"HTTP/1.1 200 OK\nno header\n\n", Vec::new()).is_err());
    }
}
