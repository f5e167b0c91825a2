//! Shapes of the gateway. Those of OpenAI's wire format have the fields that are used most; the engine reads and writes the rest.

use serde_json::Value;
use utoipa::ToSchema;

/// A body of OpenAI's chat completions. Fields that are not listed go to providers that speak the same format.
#[derive(ToSchema)]
pub struct ChatCompletions {
    /// For example gpt-4o-mini; with the provider in front where that is not clear: ollama/llama3.2.
    pub model: String,
    /// The conversation, oldest first: objects with `role` and `content`, at most 4,096.
    #[schema(value_type = Vec<Object>, min_items = 1)]
    pub messages: Vec<Value>,
    /// Functions that the model may ask for.
    #[schema(value_type = Option<Vec<Object>>)]
    pub tools: Option<Vec<Value>>,
    /// auto, none, required, or an object that names a function.
    pub tool_choice: Option<Value>,
    /// The form of the answer: an object of the type text, json_object or json_schema.
    #[schema(value_type = Option<Object>)]
    pub response_format: Option<Value>,
    #[schema(minimum = 0.0, maximum = 2.0)]
    pub temperature: Option<f64>,
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub top_p: Option<f64>,
    /// A text or several at which the model stops.
    pub stop: Option<Value>,
    /// Most output tokens; the server's default where it is left out.
    #[schema(minimum = 1)]
    pub max_completion_tokens: Option<u64>,
    /// The older name of the same.
    #[schema(minimum = 1)]
    pub max_tokens: Option<u64>,
    /// The person behind the request.
    pub user: Option<String>,
    /// Whether the answer comes in pieces.
    pub stream: Option<bool>,
    /// `include_usage`: a last piece with the usage.
    #[schema(value_type = Option<Object>)]
    pub stream_options: Option<Value>,
    /// What OpenAI's body has no place for; the answer has the field then, too.
    pub rae: Option<ChatLabels>,
}

/// The field `rae` of a chat.
#[derive(ToSchema)]
pub struct ChatLabels {
    /// What for; sums of costs can be grouped by it. Default: chat.
    pub operation: Option<String>,
    /// Default: X-User-ID, or `user` of the body.
    pub user_id: Option<String>,
    /// Default: the id of this request.
    pub request_id: Option<String>,
    /// Longest time in seconds of all attempts together. Default: 600.
    #[schema(exclusive_minimum = 0, maximum = 600)]
    pub timeout: Option<f64>,
}

/// An answer of OpenAI's chat completions.
#[derive(ToSchema)]
pub struct ChatCompletion {
    pub id: String,
    pub object: String,
    pub created: i64,
    pub model: String,
    /// One: `message` and `finish_reason`.
    #[schema(value_type = Vec<Object>)]
    pub choices: Vec<Value>,
    /// `prompt_tokens`, `completion_tokens`, `total_tokens` and their details.
    #[schema(value_type = Object)]
    pub usage: Value,
    /// Where the request has the field.
    pub rae: Option<ChatOwn>,
}

/// What OpenAI's answer has no place for. A stream has it in its last piece.
#[derive(ToSchema)]
pub struct ChatOwn {
    pub provider: String,
    /// Null where nobody could count.
    pub usage: Option<ChatUsage>,
    pub cost_usd: f64,
    /// Attempts, the one that answered included; 0 where the answer came from the cache.
    pub attempts: u32,
    /// Limits whose warning threshold is reached.
    pub warnings: Vec<ChatWarning>,
    /// off, miss, exact or near.
    pub cache: String,
    /// What the cache saved.
    pub saved_usd: f64,
    /// Memories that were in the prompt.
    pub memories: Vec<String>,
    /// What was remembered of the turn.
    pub remembered: Vec<String>,
    /// What could not be done: memory, dense or remember.
    pub degraded: Vec<String>,
}

/// Tokens of a chat.
#[derive(ToSchema)]
pub struct ChatUsage {
    /// Read, those from and to the provider's cache included.
    pub input_tokens: u64,
    /// Of the input.
    pub cached_input_tokens: u64,
    /// Of the input.
    pub cache_write_tokens: u64,
    /// Written, reasoning included.
    pub output_tokens: u64,
    /// Of the output.
    pub reasoning_tokens: u64,
    /// Whether they were counted by the server, as the provider gave none.
    pub estimated: bool,
}

/// A limit whose warning threshold is reached.
#[derive(ToSchema)]
pub struct ChatWarning {
    /// tenant or project.
    pub scope: String,
    /// daily_limit, monthly_limit, daily_token_limit or monthly_token_limit.
    pub limit: String,
}

/// Models as OpenAI lists them.
#[derive(ToSchema)]
pub struct Models {
    /// list
    pub object: String,
    pub data: Vec<Model>,
}

/// A model.
#[derive(ToSchema)]
pub struct Model {
    /// Its name in requests, with its provider.
    pub id: String,
    /// model
    pub object: String,
    /// Not known: 0.
    pub created: i64,
    /// Its provider.
    pub owned_by: String,
}

/// A question to a model with memory: `prompt`, or `messages` as in a chat. The other fields of a chat are taken too, but `stream`.
#[derive(ToSchema)]
pub struct AgentRequest {
    /// One message of the user.
    pub prompt: Option<String>,
    /// The conversation, oldest first, in place of `prompt`.
    #[schema(value_type = Option<Vec<Object>>)]
    pub messages: Option<Vec<Value>>,
    /// Default: RAE_DEFAULT_MODEL.
    pub model: Option<String>,
    pub session_id: Option<String>,
    pub user_id: Option<String>,
    pub agent_id: Option<String>,
    /// Most tokens of memories in the prompt; default 1,000.
    #[schema(minimum = 1, maximum = 1000000)]
    pub memory_tokens: Option<i64>,
    /// Whether the turn is remembered; default true.
    pub remember: Option<bool>,
    /// Most output tokens; the server's default where it is left out.
    #[schema(minimum = 1)]
    pub max_tokens: Option<u64>,
}

/// The answer of a model with memory.
#[derive(ToSchema)]
pub struct AgentAnswer {
    pub answer: String,
    /// Memories that were in the prompt.
    pub memories_used: Vec<String>,
    /// What was remembered of the turn: what was asked, what was answered.
    pub remembered: Vec<String>,
    /// As the provider calls it.
    pub model: String,
    /// stop, length, tool_calls, content_filter, or a word of the provider.
    pub finish_reason: String,
    /// As in a chat completion.
    #[schema(value_type = Object)]
    pub usage: Value,
    pub cost_usd: f64,
    /// What could not be done: memory (no memories were put in), dense (they were found by words alone), remember (the turn was not
    /// remembered).
    pub degraded: Vec<String>,
}
