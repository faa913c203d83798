// The conversations of the web page, kept in an SQLite file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "io/json.h"

namespace stepstone {

// The file cannot be written or read: a full disk, a read-only one, damage.
class StorageError : public Error {
 public:
  using Error::Error;
};

struct ConversationMessage {
  std::string id;
  std::string parent;  // empty: it begins the conversation
  std::string role, content;
  Json details = Json::object();  // what the page tells about it: model, tokens, seconds, …
  std::int64_t created_ms = 0;    // Unix time, given by the store
};

// A tree: editing a question or asking again adds a branch, and nothing is lost.
struct Conversation {
  std::string id, title;
  std::string leaf;  // the message at the end of the branch that is shown
  std::int64_t created_ms = 0, updated_ms = 0;
  std::vector<ConversationMessage> messages;  // parents before children

  // The messages from the first one to the leaf.
  std::vector<const ConversationMessage*> branch() const;
};

// What to write; what is absent stays as it is.
struct ConversationChange {
  std::optional<std::string> title, leaf;
  // Added, or replaced where the id is known (but for their parent).
  std::vector<ConversationMessage> messages;
};

struct ConversationSummary {
  std::string id, title;
  std::int64_t created_ms = 0, updated_ms = 0, messages = 0;
  std::string excerpt;  // of a message that was searched for
};

// Each holder sees only its own. Every call throws StorageError. Not for several threads at once;
// several processes may share the file.
class ConversationStore {
 public:
  // Opens the file, or makes it and its folder, for its owner's eyes only. Empty: in memory.
  explicit ConversationStore(const std::filesystem::path& file = {});
  ~ConversationStore();

  // The latest first. Of those whose title, or one of whose messages, holds every word of `search`.
  std::vector<ConversationSummary> list(const std::string& holder, std::string_view search,
                                        std::int64_t limit, std::int64_t offset);
  std::optional<Conversation> read(const std::string& holder, const std::string& id);
  // Begins the conversation where there is none. All or nothing. Throws UsageError for a parent or
  // a leaf that is not there, and for too many messages.
  void write(const std::string& holder, const std::string& id, const ConversationChange& change);
  // False where there is none.
  bool remove(const std::string& holder, const std::string& id);

 private:
  class File;
  std::unique_ptr<File> file_;
};

}  // namespace stepstone
