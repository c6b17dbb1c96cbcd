use serde_json::json;

use crate::definition::{Expr, Scope};
use crate::types::Value;

fn eval(text: &str) -> Result<Value, String> {
    let values = json!({"z": 1, "a": "x y", "empty": "", "list": [1, "b"], "nested": {"k": "ü"}, "none": null});
    let scope = Scope::new().with("v", &values);
    Expr::compile(text, &["v"]).unwrap().eval(&scope).map_err(|error| error.message)
}

#[test]
fn what_providers_sign_and_write() {
    for (text, expected) in [
        // The digests of the empty text and of "abc" are in the standards.
        (r#"string(crc32("123456789"))"#, "3421780262"),
        (r#"hash("abc", "sha256")"#, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (r#"hash("", "md5")"#, "d41d8cd98f00b204e9800998ecf8427e"),
        (r#"hash("abc", "sha1", "HEX")"#, "A9993E364706816ABA3E25717850C26C9CD0D89D"),
        (r#"hash("abc", "sha256", "base64")"#, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
        (r#"base64("a?>") + base64url("a?>") + hex("az")"#, "YT8+YT8-617a"),
        (r#"json(list("x")) + json(list([1])) + json(list(null)) + json(list(""))"#, r#"["x"][1][][]"#),
        (r#"uuid("a")"#, "ca978112-ca1b-4dca-bac2-31b39a23dc4d"),
        (r#"unbase64("YT8+") + unbase64("YT8-") + unbase64("YQ")"#, "a?>a?>a"),
        (r#"url_encode("a b&ü/~")"#, "a%20b%26%C3%BC%2F~"),
        (r#"form({"a": {"b": [1, 2]}, "c": "x"})"#, "a%5Bb%5D%5B0%5D=1&a%5Bb%5D%5B1%5D=2&c=x"),
        ("sorted_params(v)", r#"a=x y&list=[1,"b"]&nested={"k":"ü"}&z=1"#),
        (r#"sorted_params(v, ["a", "list", "nested"])"#, "z=1"),
        (r#"param("t=1, v1=ab=,v1=\"cd\"", ",", "v1")"#, "ab="),
        (r#"params("t=1,v1=ab,v1=cd", ",", "v1").join("|")"#, "ab|cd"),
        (
            r#"json({"b": v.z, "a": [{"d": 1, "c": {}}], "e": v.nested})"#,
            r#"{"b":1,"a":[{"d":1,"c":{}}],"e":{"k":"ü"}}"#,
        ),
        (
            r#"form({"b": 1, "a": {"d": 1, "c": 2}}) + json(true ? {"b": 1, "a": 2} : {})"#,
            r#"b=1&a%5Bd%5D=1&a%5Bc%5D=2{"b":1,"a":2}"#,
        ),
        (r#"json([double(12), 12.5, double("1200.00")])"#, "[12,12.5,1200]"),
        (r#"json({"b": [1, true, null]})"#, r#"{"b":[1,true,null]}"#),
        (r#"raw_member("{\"r_response\": { \"a\" : 1 }, \"sign\": 2}", "*_response")"#, r#"{ "a" : 1 }"#),
        (r#"pad(7, 3, "0") + pad("ab", 1, " ")"#, "007ab"),
        (r#"lookup({"05": "hard"}, "05", "soft") + lookup({"05": "hard"}, "6", "soft")"#, "hardsoft"),
        (r#"currency_number("CNY") + currency_number("ALL") + string(currency_digits("JPY"))"#, "1560080"),
        (r#"format_time(0, "%Y%m%d%H%M%S", "+08:00")"#, "19700101080000"),
        (r#"format_time("2026-02-03T23:30:00Z", "%Y-%m-%d %H:%M", "-01:30")"#, "2026-02-03 22:00"),
        (r#"format_time("2026-02-03T23:30:00.123Z", "%d/%m/%y")"#, "03/02/26"),
    ] {
        assert_eq!(eval(text), Ok(json!(expected)), "{text}");
    }
    assert_eq!(eval(r#"unix("1970-01-02T00:00:00Z") + unix_ms(1)"#), Ok(json!(87_400)));
    assert_eq!(eval(r#"parse_form("a=1&b=x+y&a=%C3%BC&c")"#), Ok(json!({"a": ["1", "ü"], "b": "x y", "c": ""})));
    assert_eq!(
        eval(r#"[rescale(1000000, "IDR", 0), rescale(5, 0, "KWD"), rescale(-7, 2, 2)]"#),
        Ok(json!([10_000, 5_000, -7]))
    );
    assert_eq!(eval(r#"parse_json("[1, {}]")"#), Ok(json!([1, {}])));
    assert_eq!(eval(r#"matches_any("card_x", ["card_*"]) && !matches_any("card", ["card_*", "5"])"#), Ok(json!(true)));
}

#[test]
fn what_has_no_value_says_why_and_shows_no_data() {
    for (text, told) in [
        (r#"hash(v.a, "sha3")"#, "`hash` knows sha256, sha384, sha512, sha1 and md5"),
        (r#"hash(v.z, "sha256")"#, "`hash` is about a text"),
        (r#"unbase64(v.a)"#, "`unbase64` is about base64"),
        (r#"unbase64("/w==")"#, "`unbase64` has a text only where the bytes are UTF-8"),
        (r#"parse_form("a=%zz")"#, "`parse_form` is about a form of 1,000 fields at most, in UTF-8"),
        (r#"parse_form("a=%ff")"#, "`parse_form` is about a form of 1,000 fields at most, in UTF-8"),
        (r#"parse_json(v.a)"#, "`parse_json` is about a JSON text"),
        (r#"param("a=1", ",", "b")"#, "`param` finds no such parameter"),
        (r#"raw_member("{}", "a")"#, "`raw_member` finds no such member"),
        (r#"format_time(v.a, "%Y")"#, "`format_time` is about a time such as `now` or `order.created_at`"),
        (r#"format_time(0, "%Y", "Asia/Shanghai")"#, "`format_time` knows zones as UTC and +08:00"),
        (r#"pad("a", 1001, "0")"#, "`pad` pads to 1,000 characters at most"),
        (r#"rescale(1050, "IDR", 0)"#, "`rescale` would cut off digits that are not 0"),
        (r#"rescale(9000000000000000000, 0, 2)"#, "`rescale` has no value that large"),
        (r#"rescale(1, 0, 19)"#, "`rescale` takes 0 to 18 digits"),
        (r#"rescale(1, "BTC", 2)"#, "`rescale` is about a currency of ISO 4217"),
        (r#"major(1, "BTC")"#, "`major` knows no such currency in ISO 4217: say how many digits it has"),
        (r#"uuid(1)"#, "`uuid` is about a text"),
        (r#"short_key(v.a)"#, "`short_key` is about `key` or `order.id`"),
    ] {
        assert_eq!(eval(text), Err(told.to_owned()), "{text}");
    }
}
