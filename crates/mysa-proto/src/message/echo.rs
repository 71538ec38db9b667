use crate::message::legacy::legacy_body;

legacy_body! { 'a;
    /// `MsgType` 5: the device's answer to an echo request, and to a pairing reset. (mysa_client live, mysotherm.)
    ///
    /// One witness calls 5 *to* a device a pairing reset, so it is never sent.
    pub struct EchoReply {
        /// `EchoID` of the request.
        pub echo_id: i64 = "EchoID" => echo_id,
    }
}
