#include "serve/metrics_text.h"

#include <fmt/format.h>

#include "infer/engine.h"

namespace stepstone {
namespace {

class MetricsWriter {
 public:
  // Whose values follow.
  void set_model(std::string_view model) {
    label_.clear();
    for (const char c : model) {  // as a label's value
      if (c == '"' || c == '\\') label_ += '\\';
      label_ += c == '\n' ? ' ' : c;
    }
    label_ = fmt::format("model_name=\"{}\"", label_);
  }

  void value(std::string_view type, std::string_view name, std::string_view help, double value) {
    family(type, name, help) += fmt::format("{}{{{}}} {}\n", name, label_, value);
  }
  void histogram(std::string_view name, std::string_view help, const Histogram& h) {
    std::string& text = family("histogram", name, help);
    const auto bucket = [&](std::string_view bound, std::int64_t count) {
      text += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, label_, bound, count);
    };
    std::int64_t below = 0;
    for (std::size_t i = 0; i < Histogram::kBounds.size(); ++i) {
      below += h.counts()[i];
      bucket(fmt::format("{}", Histogram::kBounds[i]), below);
    }
    bucket("+Inf", h.count());
    text += fmt::format("{}_sum{{{}}} {}\n{}_count{{{}}} {}\n", name, label_, h.sum(), name, label_,
                        h.count());
  }
  void finished(const EngineMetrics& m) {
    constexpr std::string_view kName = "vllm:request_success_total";
    std::string& text = family("counter", kName, "Requests that ended");
    for (const std::string_view name : {"stop", "length", "abort", "error"}) {
      std::int64_t count = 0;
      for (std::size_t i = 0; i < kFinishReasons; ++i) {
        if (api_name(static_cast<FinishReason>(i)) == name) count += m.finished[i];
      }
      text += fmt::format("{}{{{},finished_reason=\"{}\"}} {}\n", kName, label_, name, count);
    }
  }
  std::string take() {
    std::string text;
    for (const Family& f : families_) text += f.text;
    return text;
  }

 private:
  // All lines of a metric stand together, whatever models they are of.
  struct Family {
    std::string name, text;
  };
  std::string& family(std::string_view type, std::string_view name, std::string_view help) {
    for (Family& f : families_) {
      if (f.name == name) return f.text;
    }
    families_.push_back(
        {std::string(name), fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type)});
    return families_.back().text;
  }

  std::string label_;
  std::vector<Family> families_;
};

double ratio(double a, double b) { return b > 0 ? a / b : 0; }

void write(MetricsWriter& w, const EngineMetrics& m) {
  const auto number = [](std::int64_t n) { return static_cast<double>(n); };
  const double kv = ratio(number(m.pages_used), number(m.pages));
  w.value("gauge", "vllm:num_requests_running", "Texts being written", number(m.running));
  w.value("gauge", "vllm:num_requests_waiting", "Requests in the queue", number(m.waiting));
  w.value("gauge", "vllm:kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1", kv);
  w.value("counter", "vllm:prefix_cache_queries_total", "Prompt tokens looked up for reuse",
          number(m.prompt_tokens));
  w.value("counter", "vllm:prefix_cache_hits_total", "Prompt tokens reused",
          number(m.reused_tokens));
  w.value("counter", "vllm:num_preemptions_total", "Texts that lost their KV pages for a while",
          number(m.preemptions));
  w.value("counter", "vllm:prompt_tokens_total", "Prompt tokens", number(m.prompt_tokens));
  w.value("counter", "vllm:generation_tokens_total", "Tokens drawn", number(m.generated_tokens));
  w.value("counter", "vllm:spec_decode_num_drafts_total", "Guesses", number(m.drafts));
  w.value("counter", "vllm:spec_decode_num_draft_tokens_total", "Tokens guessed",
          number(m.drafted_tokens));
  w.value("counter", "vllm:spec_decode_num_accepted_tokens_total", "Tokens guessed right",
          number(m.accepted_tokens));
  w.finished(m);
  w.histogram("vllm:time_to_first_token_seconds", "Arrival to first token", m.first_token_seconds);
  w.histogram("vllm:time_per_output_token_seconds", "From token to token", m.token_seconds);
  w.histogram("vllm:e2e_request_latency_seconds", "Arrival to end", m.request_seconds);
  w.histogram("vllm:request_queue_time_seconds", "Arrival to start", m.queue_seconds);
  w.histogram("vllm:request_prefill_time_seconds", "Start to first token", m.prefill_seconds);
  w.histogram("vllm:request_decode_time_seconds", "First token to end", m.decode_time_seconds);

  const double read = number(m.prompt_tokens - m.reused_tokens);
  w.value("counter", "llamacpp:prompt_tokens_total", "Prompt tokens computed", read);
  w.value("counter", "llamacpp:prompt_seconds_total", "Time in prompts", m.prompt_seconds);
  w.value("counter", "llamacpp:tokens_predicted_total", "Tokens drawn", number(m.generated_tokens));
  w.value("counter", "llamacpp:tokens_predicted_seconds_total", "Time in drawing",
          m.decode_seconds);
  w.value("counter", "llamacpp:n_decode_total", "Steps of the engine", number(m.steps));
  w.value("gauge", "llamacpp:n_busy_slots_per_decode", "Tokens per step",
          ratio(number(m.step_tokens), number(m.steps)));
  w.value("gauge", "llamacpp:prompt_tokens_seconds", "Prompt tokens per second",
          ratio(read, m.prompt_seconds));
  w.value("gauge", "llamacpp:predicted_tokens_seconds", "Tokens drawn per second",
          ratio(number(m.generated_tokens), m.decode_seconds));
  w.value("gauge", "llamacpp:kv_cache_usage_ratio", "Share of the KV cache in use, 0 to 1", kv);
  w.value("gauge", "llamacpp:requests_processing", "Texts being written", number(m.running));
  w.value("gauge", "llamacpp:requests_deferred", "Requests in the queue", number(m.waiting));

  w.value("gauge", "stepstone:kv_pages", "Pages of the KV cache", number(m.pages));
  w.value("gauge", "stepstone:kv_page_bytes", "Bytes of such a page", number(m.page_bytes));
  w.value("gauge", "stepstone:kv_pages_reusable", "Pages kept for reuse alone",
          number(m.pages_cached));
  w.value("counter", "stepstone:requests_refused_total", "Requests refused for a full queue",
          number(m.refused));
}

}  // namespace

std::string metrics_text(const std::vector<NamedMetrics>& models) {
  MetricsWriter w;
  for (const NamedMetrics& named : models) {
    w.set_model(named.model);
    write(w, named.metrics);
  }
  return w.take();
}

}  // namespace stepstone
