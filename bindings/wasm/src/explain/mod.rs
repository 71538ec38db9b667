//! Explanations, by the source of `mysa decode`: the same names and values in the browser and in the command.

#[path = "../../../../crates/mysa-cli/src/commands/decode/batch.rs"]
mod batch;
#[path = "../../../../crates/mysa-cli/src/commands/decode/capture.rs"]
mod capture;
#[path = "../../../../crates/mysa-cli/src/commands/decode/input.rs"]
mod input;
#[path = "../../../../crates/mysa-cli/src/commands/decode/message.rs"]
mod message;
#[path = "../../../../crates/mysa-cli/src/commands/decode/packet.rs"]
mod packet;

use input::hex_bytes;
pub(crate) use input::{anything, payload};
