//! The form of SPIFFE ids (SPIFFE-ID and X509-SVID specifications).

/// Longest SPIFFE id, in bytes.
const MAX_ID: usize = 2048;

/// Longest trust domain, in bytes.
const MAX_TRUST_DOMAIN: usize = 255;

/// Whether `uri` may be an identity: a `spiffe:` URI must be the id of a workload; other schemes pass.
pub(super) fn check(uri: &str) -> Result<(), &'static str> {
    let is_spiffe = uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"));
    if !is_spiffe {
        return Ok(());
    }
    let Some(rest) = uri.strip_prefix("spiffe://") else {
        return Err("it must start with spiffe://");
    };
    if uri.len() > MAX_ID {
        return Err("it is longer than 2048 bytes");
    }
    let (trust_domain, path) = rest.split_once('/').unwrap_or((rest, ""));
    let domain_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    if trust_domain.is_empty() || trust_domain.len() > MAX_TRUST_DOMAIN {
        return Err("its trust domain is empty or too long");
    }
    if !trust_domain.bytes().all(domain_byte) {
        return Err("its trust domain has other characters than a-z, 0-9, '.', '-' and '_'");
    }
    let segment_ok = |segment: &str| {
        let byte_ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        !matches!(segment, "" | "." | "..") && segment.bytes().all(byte_ok)
    };
    if !path.split('/').all(segment_ok) {
        return Err("its path is empty or has an empty, relative or escaped segment");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_workloads_pass_and_nothing_that_only_looks_like_one() {
        for uri in
            ["spiffe://gatehouse.dev/billing", "spiffe://a/b/c.d-e_F", "https://example.com/x?y", "urn:a"]
        {
            assert_eq!(check(uri), Ok(()), "{uri}");
        }
        for uri in [
            "spiffe:billing",
            "SPIFFE://a/b",
            "spiffe://",
            "spiffe:///billing",
            "spiffe://a",
            "spiffe://a/",
            "spiffe://a/b/",
            "spiffe://a//b",
            "spiffe://a/../b",
            "spiffe://A/b",
            "spiffe://a:80/b",
            "spiffe://u@a/b",
            "spiffe://a/b?c",
            "spiffe://a/b#c",
            "spiffe://a/%62",
        ] {
            assert!(check(uri).is_err(), "{uri}");
        }
        assert!(check(&format!("spiffe://a/{}", "b".repeat(MAX_ID))).is_err());
    }
}
