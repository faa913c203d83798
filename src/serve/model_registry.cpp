#include "serve/model_registry.h"

#include <algorithm>

#include "io/utf8.h"
#include "serve/api_error.h"

namespace stepstone {
namespace {

std::string name_of_source(const ModelRegistry::Source& source) {
  if (!source.name.empty()) return source.name;
  const auto last = std::filesystem::weakly_canonical(source.path).filename();
  return (last.extension() == ".gguf" ? last.stem() : last).string();
}

}  // namespace

std::string_view name_of(ModelRegistry::Status status) {
  constexpr std::string_view kNames[] = {"unloaded", "loading", "loaded", "failed"};
  return kNames[static_cast<std::size_t>(status)];
}

ModelRegistry::ModelRegistry(std::vector<Source> sources, const EngineOptions& options,
                             OnLoaded on_loaded)
    : options_(options), on_loaded_(std::move(on_loaded)), first_loads_(sources.size()) {
  require<UsageError>(!sources.empty(), "there is no model to serve");
  for (const Source& source : sources) {
    Entry made;
    made.name = name_of_source(source);
    made.path = source.path;
    made.status = Status::loading;
    for (const Entry& other : entries_) {
      require<UsageError>(other.name != made.name,
                          "two models have the name {}: give each its own, -m NAME=DIR", made.name);
    }
    entries_.push_back(std::move(made));
  }
  for (Entry& e : entries_) to_load_.push_back(&e);
  thread_ = std::thread([this] { run(); });
}

ModelRegistry::~ModelRegistry() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void ModelRegistry::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!to_end_.empty()) {
      auto models = std::exchange(to_end_, {});
      lock.unlock();
      models.clear();
      lock.lock();
    } else if (!to_load_.empty()) {
      Entry& e = *to_load_.front();
      to_load_.pop_front();
      lock.unlock();
      load_now(e);
      lock.lock();
      if (first_loads_ > 0) --first_loads_;
    } else {
      wake_.wait(lock);
    }
  }
}

// With mutex_ held.
EngineOptions ModelRegistry::options_for_next() const {
  EngineOptions options = options_;
  if (options.kv_bytes == 0) options.kv_bytes = default_kv_bytes();
  std::int64_t loading = 0;
  for (const Entry& e : entries_) {
    loading += e.status == Status::loading ? 1 : 0;
    if (e.model) options.kv_bytes -= e.model->engine().kv_bytes();
  }
  options.kv_bytes = std::max<std::int64_t>(1, options.kv_bytes);  // 0 would be the default
  options.kv_share = 1 / static_cast<double>(loading);
  return options;
}

void ModelRegistry::load_now(Entry& e) {
  EngineOptions options;
  {
    const std::lock_guard lock(mutex_);
    options = options_for_next();
  }
  std::shared_ptr<ServedModel> model;
  std::exception_ptr failed;
  std::string error;
  try {
    model = std::make_shared<ServedModel>(e.path, e.name, options);
  } catch (const std::exception& problem) {
    failed = std::current_exception();
    error = problem.what();
  }
  View view;
  {
    const std::lock_guard lock(mutex_);
    e.status = failed ? Status::failed : Status::loaded;
    e.error = error;
    e.model = std::move(model);
    view = e;
  }
  on_loaded_(view, failed);
}

std::vector<ModelRegistry::View> ModelRegistry::list() const {
  const std::lock_guard lock(mutex_);
  return {entries_.begin(), entries_.end()};
}

bool ModelRegistry::started() const {
  const std::lock_guard lock(mutex_);
  return first_loads_ == 0;
}

const ModelRegistry::Entry& ModelRegistry::entry(std::string_view name) const {
  const auto found =
      name.empty() ? entries_.begin() : std::ranges::find(entries_, name, &Entry::name);
  if (found != entries_.end()) return *found;
  std::string names;
  for (const Entry& e : entries_) names += (names.empty() ? "\"" : ", \"") + e.name + "\"";
  throw ApiError(404,
                 fmt::format("there is no model \"{}\" here, only {}", to_utf8_lossy(name), names),
                 "model", "model_not_found");
}

ModelRegistry::Entry& ModelRegistry::entry(std::string_view name) {
  return const_cast<Entry&>(std::as_const(*this).entry(name));
}

std::shared_ptr<ServedModel> ModelRegistry::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const Entry& e = entry(name);
  if (e.model) return e.model;
  if (e.status == Status::loading) throw ApiError(503, "the model is being loaded", {}, "loading");
  throw ApiError(400,
                 fmt::format("the model \"{}\" is not loaded{}{}", e.name,
                             e.error.empty() ? "" : ": ", e.error),
                 "model", "model_not_loaded");
}

void ModelRegistry::load(std::string_view name) {
  {
    const std::lock_guard lock(mutex_);
    Entry& e = entry(name);
    if (e.status == Status::loaded || e.status == Status::loading) {
      throw ApiError(400, fmt::format("the model \"{}\" is {} already", e.name, name_of(e.status)),
                     "model");
    }
    e.status = Status::loading;
    e.error.clear();
    to_load_.push_back(&e);
  }
  wake_.notify_one();
}

void ModelRegistry::unload(std::string_view name) {
  {
    const std::lock_guard lock(mutex_);
    Entry& e = entry(name);
    if (e.status != Status::loaded) {
      throw ApiError(400, fmt::format("the model \"{}\" is {}", e.name, name_of(e.status)),
                     "model");
    }
    e.status = Status::unloaded;
    to_end_.push_back(std::exchange(e.model, nullptr));
  }
  wake_.notify_one();
}

}  // namespace stepstone
