// The models of a server: those that it was given, of which some are loaded.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "serve/served_model.h"

namespace stepstone {

class ModelRegistry {
 public:
  struct Source {
    std::filesystem::path path;
    std::string name;  // empty: that of the folder or file
  };
  enum class Status : std::uint8_t { unloaded, loading, loaded, failed };
  struct View {
    std::string name;
    Status status = Status::unloaded;
    std::string error = {};                        // with failed
    std::shared_ptr<ServedModel> model = nullptr;  // with loaded
  };
  // Called on the loading thread when a model is ready, or with null when it could not be loaded.
  using OnLoaded = std::function<void(const View& view, std::exception_ptr failed)>;

  // Begins to load all of them. options.kv_bytes is for the keys and values of all models together:
  // those that are still to be loaded share evenly what the others leave. Throws UsageError for two
  // of one name.
  ModelRegistry(std::vector<Source> sources, const EngineOptions& options, OnLoaded on_loaded);
  // Ends what the models are doing.
  ~ModelRegistry();

  std::vector<View> list() const;
  // False until all models of the beginning were loaded or failed.
  bool started() const;
  // The model to use; an empty name means the first. Throws ApiError 404 for an unknown name, 503
  // for one that is being loaded, 400 for one that is not loaded.
  std::shared_ptr<ServedModel> find(std::string_view name) const;
  // Begins to load a model that is not loaded. Throws ApiError 404, 400 where it is already.
  void load(std::string_view name);
  // Takes a model away: its answers end with an error. Throws ApiError 404, 400.
  void unload(std::string_view name);

 private:
  struct Entry : View {
    std::filesystem::path path;
  };
  Entry& entry(std::string_view name);
  const Entry& entry(std::string_view name) const;
  void run();
  void load_now(Entry& entry);
  EngineOptions options_for_next() const;

  const EngineOptions options_;
  const OnLoaded on_loaded_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Entry> entries_;  // never moved
  // For the thread: entries to load, models to end.
  std::deque<Entry*> to_load_;
  std::vector<std::shared_ptr<ServedModel>> to_end_;
  std::size_t first_loads_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

std::string_view name_of(ModelRegistry::Status status);

}  // namespace stepstone
