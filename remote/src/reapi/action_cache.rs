//! The action cache: results of actions, by the digests of the actions.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use network::parallel::map_requests;
use prost::Message as _;
use proto::action_cache_client::ActionCacheClient;
use tonic::Code;

use super::{Channel, ReapiError, digest};
use crate::WireDigest;
use crate::budget::Budget;

/// The longest result that is read; many come at once. One of ours has at most 256 KiB inline.
const MAX_RESULT: usize = 4 << 20;
/// So many bytes of results are held at once.
const MAX_RESULTS: u64 = 128 << 20;
/// So many results are asked for at once: the protocol has no call for many.
const LOOK_UPS: usize = 64;

/// A client of a server's action cache.
#[derive(Debug, Clone)]
pub struct ActionCache {
    channel: Channel,
}

impl ActionCache {
    /// The action cache of the server that a channel leads to.
    pub fn new(channel: &Channel) -> Self {
        Self { channel: channel.clone() }
    }

    /// Returns the results that the server has for actions, in their order; `None` where it has
    /// none, or has lost part of it.
    ///
    /// # Errors
    /// [`ReapiError::Call`]; [`ReapiError::Wrong`] if the results are longer than what may be held.
    pub fn results(&self, actions: &[WireDigest]) -> Result<Vec<Option<proto::ActionResult>>, ReapiError> {
        let channel = &self.channel;
        let digest_function = channel.capabilities()?.function_number();
        let budget = &Budget::new(MAX_RESULTS);
        let ask = |action: &WireDigest| {
            let action = digest::to_proto(action);
            async move {
                let asked = channel.call("asking for a result", || {
                    let request = channel.request(proto::GetActionResultRequest {
                        instance_name: channel.instance(),
                        action_digest: Some(action.clone()),
                        inline_stdout: true,
                        digest_function,
                        ..Default::default()
                    });
                    let mut client = self.client();
                    async move { client.get_action_result(request).await }
                });
                match asked.await {
                    Ok(answer) if budget.take(answer.get_ref().encoded_len() as u64) => Ok(Some(answer.into_inner())),
                    Ok(_) => Err(channel.wrong(format!("its results have more than {MAX_RESULTS} bytes"))),
                    Err(ReapiError::Call { code: Code::NotFound, .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        };
        channel.wait(map_requests(LOOK_UPS, actions, ask))
    }

    /// Gives the server the result of an action.
    ///
    /// # Errors
    /// [`ReapiError::Call`].
    pub fn update(&self, action: &WireDigest, result: &proto::ActionResult) -> Result<(), ReapiError> {
        let channel = &self.channel;
        let digest_function = channel.capabilities()?.function_number();
        let updated = channel.wait(channel.call("writing a result", || {
            let request = channel.request(proto::UpdateActionResultRequest {
                instance_name: channel.instance(),
                action_digest: Some(digest::to_proto(action)),
                action_result: Some(result.clone()),
                results_cache_policy: None,
                digest_function,
            });
            let mut client = self.client();
            async move { client.update_action_result(request).await }
        }));
        updated.map(drop)
    }

    fn client(&self) -> ActionCacheClient<tonic::transport::Channel> {
        ActionCacheClient::new(self.channel.grpc()).max_decoding_message_size(MAX_RESULT)
    }
}
