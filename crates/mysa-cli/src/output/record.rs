//! Records of the command: those of `mysa-explain`, with the version of their schema.

pub(crate) use mysa_explain::{Record, Value, escape_json, printable};

/// Schema version of every JSON document. It rises when a name or a meaning changes, not when a field is added.
pub(crate) const SCHEMA: i64 = 1;

/// Creates a document that contains only the schema version.
pub(crate) fn document() -> Record {
    let mut document = Record::new();
    document.put("schema", SCHEMA);
    document
}
