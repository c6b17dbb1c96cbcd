//! XML as values: an element is an object of its attributes (`@name`), its elements and its text (`#text`), or its text
//! alone when it has nothing else. Elements of one name are a list. Read without the prefixes of namespaces, which are
//! the sender's to choose; written with whatever prefixes the definition has.

use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};
use serde_json::Map;

use crate::types::Value;

/// Beside the one element of a body: its document type, without what would stand between brackets.
const DOCTYPE: &str = "!DOCTYPE";
const DEPTH_MAX: usize = 64;
const ELEMENTS_MAX: usize = 20_000;

/// Writes one element; or tells why it is none.
pub(super) fn encode(body: &Value) -> Result<String, &'static str> {
    let mut top = body.as_object().into_iter().flatten().filter(|(name, _)| *name != DOCTYPE);
    let (Some((name, value)), None) = (top.next(), top.next()) else { return Err("XML has one element at the top") };
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned();
    if let Some(doctype) = body.get(DOCTYPE) {
        let named = doctype.as_str().filter(|text| is_external(text));
        let named = named.ok_or("a document type is a name, PUBLIC or SYSTEM, and quoted addresses")?;
        out.push_str(&format!("<!DOCTYPE {named}>"));
    }
    write(&mut out, name, value, DEPTH_MAX)?;
    Ok(out)
}

/// The one element at the top of a body, to be changed.
pub(in crate::connector) fn top(body: &mut Value) -> Option<&mut Value> {
    body.as_object_mut()?.iter_mut().find(|(name, _)| *name != DOCTYPE).map(|(_, value)| value)
}

/// A document type that only names what it is: it declares nothing.
fn is_external(text: &str) -> bool {
    !text.contains(['<', '>', '[', ']', '&', '%'])
        && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

fn write(out: &mut String, name: &str, value: &Value, depth: usize) -> Result<(), &'static str> {
    let deeper = depth.checked_sub(1).ok_or("XML nests 64 deep at most")?;
    if !is_name(name) {
        return Err("a name in XML has letters, digits, `-`, `_`, `.` and `:`");
    }
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().try_for_each(|item| write(out, name, item, deeper))?,
        Value::Object(fields) => {
            out.push('<');
            out.push_str(name);
            for (attribute, value) in fields.iter().filter_map(|(key, value)| Some((key.strip_prefix('@')?, value))) {
                if !is_name(attribute) {
                    return Err("a name in XML has letters, digits, `-`, `_`, `.` and `:`");
                }
                if !value.is_null() {
                    // As they are they would be read as blanks there.
                    let text = escape(&text_of(value)?).replace('\n', "&#10;").replace('\t', "&#9;");
                    out.push_str(&format!(" {attribute}=\"{text}\""));
                }
            }
            out.push('>');
            for (key, value) in fields.iter().filter(|(key, _)| !key.starts_with('@')) {
                if key == "#text" {
                    out.push_str(&escape(&text_of(value)?));
                } else {
                    write(out, key, value, deeper)?;
                }
            }
            close(out, name);
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            out.push('<');
            out.push_str(name);
            out.push('>');
            out.push_str(&escape(&text_of(value)?));
            close(out, name);
        }
    }
    Ok(())
}

fn close(out: &mut String, name: &str) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// Control characters have no place in XML, escaped or not.
fn text_of(value: &Value) -> Result<String, &'static str> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return Err("an attribute and a text in XML are texts or numbers"),
    };
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t') || matches!(c, '\u{fffe}' | '\u{ffff}'))
    {
        return Err("a text in XML has no control characters");
    }
    Ok(text)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c))
}

/// An element that is being read.
struct Open {
    name: String,
    fields: Map<String, Value>,
    text: String,
}

/// A text as it stands in an element or an attribute.
pub(in crate::connector) fn escaped(text: &str) -> String {
    escape(text).into_owned()
}

/// Reads one document. None when it is not well-formed, too deep, too large, or has a document type that declares anything:
/// nothing is ever fetched or expanded but the five entities of XML itself.
pub(super) fn decode(text: &str) -> Option<Value> {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut top = Open { name: String::new(), fields: Map::new(), text: String::new() };
    let mut open: Vec<Open> = Vec::new();
    let mut elements = 0;
    loop {
        let event = reader.read_event().ok()?;
        if matches!(event, Event::Start(_) | Event::Empty(_)) {
            elements += 1;
            if elements > ELEMENTS_MAX || open.len() == DEPTH_MAX || (open.is_empty() && !top.fields.is_empty()) {
                return None;
            }
        }
        match event {
            Event::Start(start) => open.push(begun(&start)?),
            Event::Empty(start) => {
                let element = begun(&start)?;
                open.last_mut().unwrap_or(&mut top).take(element);
            }
            Event::End(_) => {
                let element = open.pop()?;
                open.last_mut().unwrap_or(&mut top).take(element);
            }
            Event::Text(text) => open.last_mut().unwrap_or(&mut top).text.push_str(&text.xml10_content()),
            Event::CData(text) => open.last_mut()?.text.push_str(&text.xml10_content()),
            Event::GeneralRef(entity) => {
                let into = &mut open.last_mut()?.text;
                match entity.resolve_char_ref().ok()? {
                    Some(character) => into.push(character),
                    None => into.push_str(resolve_predefined_entity(&entity.xml10_content())?),
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::DocType(named) => {
                let first = top.fields.is_empty() && open.is_empty();
                if !first || !is_external(&named.xml10_content()) {
                    return None;
                }
            }
            Event::Eof => break,
        }
    }
    let complete = open.is_empty() && top.fields.len() == 1 && top.text.trim().is_empty();
    complete.then_some(Value::Object(top.fields))
}

fn begun(start: &BytesStart<'_>) -> Option<Open> {
    let mut fields = Map::new();
    for attribute in start.attributes() {
        let attribute = attribute.ok()?;
        let key = attribute.key;
        if key.as_ref() == "xmlns" || key.as_ref().starts_with("xmlns:") {
            continue;
        }
        let name = format!("@{}", key.local_name().as_ref());
        let value = quick_xml::escape::unescape(&attribute.value).ok()?.into_owned();
        if fields.insert(name, Value::String(value)).is_some() {
            return None;
        }
    }
    Some(Open { name: start.local_name().as_ref().to_owned(), fields, text: String::new() })
}

impl Open {
    fn take(&mut self, element: Self) {
        let name = element.name.clone();
        let value = element.into_value();
        match self.fields.get_mut(&name) {
            None => drop(self.fields.insert(name, value)),
            Some(Value::Array(items)) => items.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }

    fn into_value(mut self) -> Value {
        if self.fields.is_empty() {
            return Value::String(self.text);
        }
        if !self.text.trim().is_empty() {
            self.fields.insert("#text".to_owned(), Value::String(self.text));
        }
        Value::Object(self.fields)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let body = json!({"xml": {"@version": "1.0", "amount": "12", "note": "<a> & \"b\"", "item": ["1", "2"],
            "inner": {"@id": "7", "#text": "x"}, "left_out": null}});
        let text = encode(&body).unwrap();
        assert!(text.contains("<note>&lt;a&gt; &amp; &quot;b&quot;</note>"), "{text}");
        let mut read = body.clone();
        read["xml"].as_object_mut().unwrap().shift_remove("left_out");
        assert_eq!(decode(&text), Some(read));
    }

    #[test]
    fn what_an_attribute_holds_is_all_read_back() {
        let body = json!({"a": {"@q": "1\n2\t3", "#text": "x"}});
        let text = encode(&body).unwrap();
        assert!(text.contains("q=\"1&#10;2&#9;3\""), "{text}");
        assert_eq!(decode(&text), Some(body));
        assert!(encode(&json!({"a": "\u{fffe}"})).is_err() && encode(&json!({"a": "\u{0}"})).is_err());
    }

    #[test]
    fn prefixes_of_namespaces_and_cdata_are_read_away() {
        let text = "<?xml version='1.0'?><s:Envelope xmlns:s='urn:s'><s:Body><r xmlns='urn:r' s:k='1'><![CDATA[a<b]]>&#65;\
                    </r></s:Body></s:Envelope>";
        assert_eq!(decode(text), Some(json!({"Envelope": {"Body": {"r": {"@k": "1", "#text": "a<bA"}}}})));
        assert_eq!(
            encode(&json!({"s:Envelope": {"@xmlns:s": "urn:s", "s:Body": ""}})).unwrap(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"urn:s\"><s:Body></s:Body></s:Envelope>"
        );
    }

    #[test]
    fn a_document_type_that_declares_nothing_is_written_and_passed_over() {
        let body = json!({"!DOCTYPE": "a PUBLIC \"-//X//DTD A v1//EN\" \"http://x.example/a.dtd\"", "a": {"b": "1"}});
        let text = encode(&body).unwrap();
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><!DOCTYPE a PUBLIC \"-//X//DTD A v1//EN\" \"http://x.example/a.dtd\">";
        assert_eq!(text, format!("{head}<a><b>1</b></a>"));
        assert_eq!(decode(&text), Some(json!({"a": {"b": "1"}})));
        assert_eq!(decode(&text.replace(" PUBLIC ", "\r\n\tPUBLIC\n")), Some(json!({"a": {"b": "1"}})));
        for doctype in [json!("a [<!ENTITY e 'x'>]"), json!("a><b"), json!(1)] {
            assert!(encode(&json!({"!DOCTYPE": doctype, "a": ""})).is_err());
        }
        assert!(encode(&json!({"!DOCTYPE": "a"})).is_err());
    }

    #[test]
    fn nothing_is_expanded_and_nothing_is_guessed() {
        for text in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>",
            "<a>&e;</a>",
            "<!DOCTYPE a SYSTEM \"a.dtd\"><a>&e;</a>",
            "<a/><!DOCTYPE a SYSTEM \"a.dtd\">",
            "<a k='1' k='2'/>",
            &format!("{}{}", "<a>".repeat(65), "</a>".repeat(65)),
            &format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MAX)),
        ] {
            assert_eq!(decode(text), None, "{}", text.get(..40).unwrap_or(text));
        }
        assert!(encode(&json!({"a b": 1})).is_err() && encode(&json!({"a": 1, "b": 2})).is_err());
        assert!(encode(&json!({"a": "\u{0}"})).is_err() && encode(&json!({"a": {"@x y": 1}})).is_err());
    }
}
