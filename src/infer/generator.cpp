#include "infer/generator.h"

#include <algorithm>

#include "tokenizer/tokenizer_model.h"

namespace stepstone {
namespace {

double rate(std::int64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

const Transformer& packed(Stone& stone) {
  stone.model->pack(stone.compute);
  return *stone.model;
}

EngineOptions engine_options(const GeneratorOptions& o) {
  // All that the texts can need: a page is touched when it is used.
  constexpr std::int64_t kUnlimited = std::int64_t{1} << 60;
  return {.context = o.context,
          .max_sequences = o.width,
          .kv_bytes = kUnlimited,
          .cache = o.cache,
          .speculation = o.speculation};
}

}  // namespace

double prefill_rate(const EngineUsage& u) {
  return rate(u.prompt_tokens - u.cached_tokens, u.prefill_seconds);
}
// The first token comes out of the prefill.
double decode_rate(const EngineUsage& u) {
  return rate(std::max<std::int64_t>(0, u.completion_tokens - 1), u.decode_seconds);
}

Json to_json(const EngineUsage& u) {
  return {{"prompt_tokens", u.prompt_tokens},
          {"cached_tokens", u.cached_tokens},
          {"forgotten_tokens", u.forgotten_tokens},
          {"new_tokens", u.completion_tokens},
          {"drafted_tokens", u.drafted_tokens},
          {"accepted_tokens", u.accepted_tokens},
          {"prefill_seconds", u.prefill_seconds},
          {"decode_seconds", u.decode_seconds},
          {"prefill_tokens_per_second", prefill_rate(u)},
          {"decode_tokens_per_second", decode_rate(u)}};
}

Generator::Generator(const Transformer& model, Tokenizer tokenizer, DType compute,
                     const GeneratorOptions& options)
    : scheduler_(model, std::move(tokenizer), compute, engine_options(options)) {}

Generator::Generator(Stone& stone, const GeneratorOptions& options)
    : Generator(packed(stone), stone.tokenizer, stone.compute, options) {}

Generation Generator::generate(EngineRequest request, const GenerateHooks& hooks) {
  scheduler_.check(request);
  std::vector<EngineRequest> one;
  one.push_back(std::move(request));
  return std::move(run(std::move(one), hooks).front());
}

std::vector<Generation> Generator::generate_all(std::span<const std::vector<std::int32_t>> prompts,
                                                const EngineRequest& request,
                                                const GenerateHooks& hooks) {
  std::vector<Generation> made(prompts.size());
  std::vector<EngineRequest> requests;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    made[i].reason = FinishReason::context_full;
    if (prompts[i].empty() || std::ssize(prompts[i]) > context()) continue;
    requests.push_back(request);
    requests.back().prompt = prompts[i];
    scheduler_.check(requests.back());
    places.push_back(i);
  }
  auto those = run(std::move(requests), hooks);
  for (std::size_t i = 0; i < those.size(); ++i) made[places[i]] = std::move(those[i]);
  return made;
}

std::vector<Generation> Generator::run(std::vector<EngineRequest> requests,
                                       const GenerateHooks& hooks) {
  std::vector<Generation> made(requests.size());
  std::vector<std::shared_ptr<EngineJob>> jobs;
  std::vector<std::pair<std::size_t, EngineEvent>> events;
  for (EngineRequest& request : requests) {
    request.on_event = [&events, i = jobs.size()](EngineEvent event) {
      events.emplace_back(i, std::move(event));
    };
    jobs.push_back(std::make_shared<EngineJob>());
    jobs.back()->request = std::move(request);
  }
  struct Cleanup {
    Scheduler& scheduler;
    ~Cleanup() { scheduler.cancel_all(); }
  } const cleanup{scheduler_};
  for (std::size_t begun = 0, done = 0; done < jobs.size();) {
    if (hooks.interrupted && hooks.interrupted()) {
      scheduler_.cancel_all();
      while (begun < jobs.size()) scheduler_.reject(jobs[begun++]);
    }
    while (begun < jobs.size() && scheduler_.room() > 0) scheduler_.add(jobs[begun++]);
    scheduler_.step();
    for (auto& [i, event] : events) {
      if (event.finish == FinishReason::refused) throw UsageError(event.error);
      if (event.finish == FinishReason::error) throw Error(event.error);
      Generation& g = made[i];
      g.text += event.text;
      g.tokens.insert(g.tokens.end(), event.tokens.begin(), event.tokens.end());
      if (hooks.on_text && !event.text.empty()) hooks.on_text(event.text);
      if (event.finish == FinishReason::none) continue;
      g.reason = event.finish;
      g.usage = event.usage;
      ++done;
      if (hooks.progress) hooks.progress(done);
    }
    events.clear();
  }
  return made;
}

std::vector<std::int32_t> prompt_tokens(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> tokens;
  if (const auto bos = tokenizer.bos(); bos && bos != tokenizer.eos()) tokens.push_back(*bos);
  tokenizer.encode_append(text, tokens);
  if (!tokens.empty()) return tokens;
  if (const auto eos = tokenizer.eos()) return {*eos};
  // The first of the characters that are known: mostly the line break too.
  if (tokenizer.model().kind == TokenizerModel::Kind::characters) return {0};
  return tokenizer.encode("\n");
}

}  // namespace stepstone
