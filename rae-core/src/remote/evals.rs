//! Evaluations of recall, asked of a server.

use super::{
    Remote,
    transport::Request,
    verbs::{fields, finite, named},
};
use crate::{
    error::Result,
    eval::{Comparison, Evaluation, Question},
    ops::{EvaluationRun, QuestionSet, RecallOptions},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

#[derive(Deserialize)]
struct Listed<T> {
    items: Vec<T>,
}

impl Remote {
    /// As [`crate::Rae::evaluate`].
    pub async fn evaluate(&self, questions: &[Question], options: RecallOptions) -> Result<Evaluation> {
        named("evaluate", async {
            finite("min_score", options.min_score)?;
            finite("graph_weight", options.graph_weight)?;
            crate::eval::check(questions)?;
            let body = json!({ "questions": questions, "options": fields(&options)? });
            self.json(Request::post("v1/evaluations", &body)?.reads().bulk()).await
        })
        .await
    }

    /// As [`crate::Rae::set_questions`].
    pub async fn set_questions(&self, name: &str, questions: Vec<Question>) -> Result<()> {
        named("set_questions", async {
            let path = self.set(name)?;
            let request = if questions.is_empty() {
                Request { method: reqwest::Method::DELETE, writes: true, ..Request::get(path) }
            } else {
                crate::eval::check(&questions)?;
                let body = json!({ "questions": questions });
                Request { method: reqwest::Method::PUT, ..Request::post(path, &body)? }
            };
            self.json::<serde_json::Value>(request).await.map(|_| ())
        })
        .await
    }

    /// As [`crate::Rae::question_sets`].
    pub async fn question_sets(&self) -> Result<Vec<QuestionSet>> {
        named("question_sets", self.listed("v1/evaluations/questions".to_owned())).await
    }

    /// As [`crate::Rae::run_questions`].
    pub async fn run_questions(&self, name: &str, options: RecallOptions) -> Result<EvaluationRun> {
        named("run_questions", async {
            finite("min_score", options.min_score)?;
            finite("graph_weight", options.graph_weight)?;
            let path = format!("{}/runs", self.set(name)?);
            let body = json!({ "options": fields(&options)? });
            self.json(Request::post(path, &body)?.bulk()).await
        })
        .await
    }

    /// As [`crate::Rae::evaluations`].
    pub async fn evaluations(&self, name: &str) -> Result<Vec<EvaluationRun>> {
        named("evaluations", async { self.listed(format!("{}/runs", self.set(name)?)).await }).await
    }

    /// As [`crate::Rae::compare_evaluations`]; nothing is asked of the server.
    pub async fn compare_evaluations(&self, a: &Evaluation, b: &Evaluation) -> Result<Comparison> {
        named("compare_evaluations", async { Comparison::between(a, b) }).await
    }

    /// Names are checked here: a slash would be another route.
    fn set(&self, name: &str) -> Result<String> {
        crate::ops::check_set_name(name)?;
        Ok(format!("v1/evaluations/questions/{name}"))
    }

    async fn listed<T: DeserializeOwned>(&self, path: String) -> Result<Vec<T>> {
        let Listed { items } = self.json(Request::get(path).bulk()).await?;
        Ok(items)
    }
}
