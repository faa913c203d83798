#include "serve/conversation_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "io/file.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

constexpr int kVersion = 1;
constexpr int kBusyMs = 5000;
constexpr std::int64_t kMaxStoredMessages = 20'000;
constexpr std::int64_t kMaxStoredBytes = 16 << 20;  // indexing and removing take 0.2 s for 1 MB
constexpr int kMaxPages = 1 << 20;                  // of 4 KiB: nobody fills the disk by talking
constexpr std::size_t kTrigram = 3;
constexpr std::size_t kExcerptBytes = 120, kBytesBefore = 16;

// Texts are indexed by their trigrams: a search finds parts of words, and languages that have no
// spaces. Words of fewer characters are looked for one text after the other.
constexpr const char* kSchema = R"(
CREATE TABLE conversations (
  number INTEGER PRIMARY KEY,
  holder TEXT NOT NULL,
  id TEXT NOT NULL,
  title TEXT NOT NULL,
  leaf TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  UNIQUE (holder, id)
);
CREATE INDEX conversations_by_time ON conversations (holder, updated_ms);
CREATE TABLE messages (
  number INTEGER PRIMARY KEY,
  conversation INTEGER NOT NULL REFERENCES conversations (number) ON DELETE CASCADE,
  id TEXT NOT NULL,
  parent TEXT NOT NULL,
  role TEXT NOT NULL,
  content TEXT NOT NULL,
  details TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  UNIQUE (conversation, id)
);
CREATE VIRTUAL TABLE texts USING fts5(
  content, content='messages', content_rowid='number', tokenize='trigram');
CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
  INSERT INTO texts (rowid, content) VALUES (new.number, new.content);
END;
CREATE TRIGGER message_removed AFTER DELETE ON messages BEGIN
  INSERT INTO texts (texts, rowid, content) VALUES ('delete', old.number, old.content);
END;
CREATE TRIGGER message_changed AFTER UPDATE OF content ON messages BEGIN
  INSERT INTO texts (texts, rowid, content) VALUES ('delete', old.number, old.content);
  INSERT INTO texts (rowid, content) VALUES (new.number, new.content);
END;
)";

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::vector<std::string> words_of(std::string_view search) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : search) {
    if (c != ' ' && c != '\t' && c != '\n') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

// `word` anywhere, for LIKE … ESCAPE '\'.
std::string like_pattern(std::string_view word) {
  std::string pattern = "%";
  for (const char c : word) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + "%";
}

// `word` as a phrase of FTS5.
std::string phrase(std::string_view word) {
  std::string text = "\"";
  for (const char c : word) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// The part of `text` around `word`, in one line.
std::string excerpt(const std::string& text, const std::string& word) {
  const auto found = std::search(text.begin(), text.end(), word.begin(), word.end(),
                                 [](char a, char b) { return lower(a) == lower(b); });
  const auto at = static_cast<std::size_t>(found == text.end() ? 0 : found - text.begin());
  const auto inside = [&](std::size_t i) { return i < text.size() && (text[i] & 0xC0) == 0x80; };
  std::size_t begin = at > kBytesBefore ? at - kBytesBefore : 0;
  while (inside(begin)) ++begin;
  std::size_t end = std::min(text.size(), begin + kExcerptBytes);
  while (inside(end)) ++end;
  std::string part = (begin > 0 ? "…" : "") + text.substr(begin, end - begin);
  if (end < text.size()) part += "…";
  std::ranges::replace(part, '\n', ' ');
  return part;
}

// The conditions under which a title, or the text of the message m, has every word; what they bind.
struct Search {
  std::vector<std::string> words;
  std::string titles, texts;
  std::vector<std::string> title_values, text_values;

  explicit Search(std::string_view text) : words(words_of(text)) {
    std::string phrases;
    for (const std::string& word : words) {
      titles += titles.empty() ? "" : " AND ";
      titles += "title LIKE ? ESCAPE '\\'";
      title_values.push_back(like_pattern(word));
      if (utf8_characters(word) >= kTrigram)
        phrases += (phrases.empty() ? "" : " AND ") + phrase(word);
    }
    if (!phrases.empty()) {
      texts = "m.number IN (SELECT rowid FROM texts WHERE texts MATCH ?)";
      text_values.push_back(phrases);
    }
    for (const std::string& word : words) {
      if (utf8_characters(word) >= kTrigram) continue;
      texts += texts.empty() ? "" : " AND ";
      texts += "m.content LIKE ? ESCAPE '\\'";
      text_values.push_back(like_pattern(word));
    }
  }
};

}  // namespace

std::vector<const ConversationMessage*> Conversation::branch() const {
  std::map<std::string_view, const ConversationMessage*> by_id;
  for (const ConversationMessage& m : messages) by_id[m.id] = &m;
  std::vector<const ConversationMessage*> path;
  for (auto at = by_id.find(leaf); at != by_id.end(); at = by_id.find(at->second->parent)) {
    path.push_back(at->second);
  }
  std::ranges::reverse(path);
  return path;
}

class ConversationStore::File {
 public:
  // Runs `work`, with SQLite's errors turned into ours.
  template <typename F>
  auto guarded(F&& work) {
    try {
      return work();
    } catch (const SQLite::Exception& e) {
      throw StorageError(fmt::format("{}: {}", name_, e.what()));
    } catch (const IoError& e) {
      throw StorageError(e.what());
    }
  }

  explicit File(const std::filesystem::path& path)
      : name_(path.empty() ? "conversations" : path.string()) {
    guarded([&] { open(path); });
  }

  SQLite::Database& db() { return *db_; }

  // The row of a conversation; 0 where there is none.
  std::int64_t number_of(const std::string& holder, const std::string& id) {
    SQLite::Statement row(db(), "SELECT number FROM conversations WHERE holder = ? AND id = ?");
    row.bind(1, holder);
    row.bind(2, id);
    return row.executeStep() ? row.getColumn(0).getInt64() : 0;
  }

  void put_messages(std::int64_t conversation, const std::vector<ConversationMessage>& messages) {
    SQLite::Statement has(db(), "SELECT 1 FROM messages WHERE conversation = ? AND id = ?");
    SQLite::Statement put(db(),
                          "INSERT INTO messages (conversation, id, parent, role, content, details, "
                          "created_ms) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (conversation, id) "
                          "DO UPDATE SET role = excluded.role, content = excluded.content, "
                          "details = excluded.details");
    for (const ConversationMessage& m : messages) {
      if (!m.parent.empty()) {
        require<UsageError>(exists(has, conversation, m.parent),
                            "messages: the parent of {} is not in the conversation", m.id);
      }
      put.bind(1, conversation);
      put.bind(2, m.id);
      put.bind(3, m.parent);
      put.bind(4, m.role);
      put.bind(5, m.content);
      put.bind(6, dump_json(m.details));
      put.bind(7, now_ms());
      put.exec();
      put.reset();
    }
  }

  void check(std::int64_t conversation, const std::optional<std::string>& leaf) {
    SQLite::Statement has(db(), "SELECT 1 FROM messages WHERE conversation = ? AND id = ?");
    require<UsageError>(!leaf || leaf->empty() || exists(has, conversation, *leaf),
                        "leaf: it is not in the conversation");
    SQLite::Statement count(db(),
                            "SELECT count(*), sum(length(CAST(content AS BLOB))) FROM messages "
                            "WHERE conversation = ?");
    count.bind(1, conversation);
    count.executeStep();
    require<UsageError>(count.getColumn(0).getInt64() <= kMaxStoredMessages,
                        "messages: a conversation may have {}", kMaxStoredMessages);
    require<UsageError>(count.getColumn(1).getInt64() <= kMaxStoredBytes,
                        "messages: the texts of a conversation may have {} bytes together",
                        kMaxStoredBytes);
  }

  std::string excerpt_of(const std::string& holder, const std::string& id, const Search& search) {
    SQLite::Statement row(db(), "SELECT m.content FROM messages m WHERE m.conversation = ? AND " +
                                    search.texts + " LIMIT 1");
    int at = 0;
    row.bind(++at, number_of(holder, id));
    for (const std::string& value : search.text_values) row.bind(++at, value);
    return row.executeStep() ? excerpt(row.getColumn(0).getString(), search.words[0]) : "";
  }

 private:
  static bool exists(SQLite::Statement& has, std::int64_t conversation, const std::string& id) {
    has.reset();
    has.bind(1, conversation);
    has.bind(2, id);
    return has.executeStep();
  }

  void open(const std::filesystem::path& path) {
    if (path.has_parent_path()) {
      std::error_code error;
      std::filesystem::create_directories(path.parent_path(), error);
      if (error) throw IoError("create", path.parent_path().string(), error.value());
    }
    // SQLite gives its other files the mode of this one.
    if (!path.empty()) stepstone::File::open(path, O_RDONLY | O_CREAT, 0600);
    db_.emplace(path.empty() ? ":memory:" : path.string(),
                SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMs);
    db_->exec("PRAGMA foreign_keys = ON");
    db_->exec(fmt::format("PRAGMA max_page_count = {}", kMaxPages));
    const auto version = [this] { return db_->execAndGet("PRAGMA user_version").getInt(); };
    const auto tables = [this](const std::string& which) {
      return db_->execAndGet("SELECT count(*) FROM sqlite_master" + which).getInt();
    };
    if (version() == 0) {
      if (tables("") > 0 && tables(" WHERE name = 'conversations'") == 0 && version() == 0) {
        throw StorageError(fmt::format("{}: is the database of another program", name_));
      }
      db_->exec("PRAGMA journal_mode = WAL");
      SQLite::Transaction transaction(*db_, SQLite::TransactionBehavior::IMMEDIATE);
      if (version() == 0) {  // nobody else was quicker
        db_->exec(kSchema);
        db_->exec(fmt::format("PRAGMA user_version = {}", kVersion));
      }
      transaction.commit();
    }
    if (version() != kVersion) {
      throw StorageError(fmt::format("{}: has version {}, not {}", name_, version(), kVersion));
    }
    if (tables(" WHERE name = 'conversations'") == 0) {
      throw StorageError(fmt::format("{}: is the database of another program", name_));
    }
  }

  std::string name_;
  std::optional<SQLite::Database> db_;
};

ConversationStore::ConversationStore(const std::filesystem::path& file)
    : file_(std::make_unique<File>(file)) {}

ConversationStore::~ConversationStore() = default;

std::vector<ConversationSummary> ConversationStore::list(const std::string& holder,
                                                         std::string_view search,
                                                         std::int64_t limit, std::int64_t offset) {
  return file_->guarded([&] {
    const Search wanted(search);
    std::string where = "holder = ?";
    if (!wanted.words.empty()) {
      where += " AND (" + wanted.titles +
               " OR EXISTS (SELECT 1 FROM messages m WHERE m.conversation = conversations.number "
               "AND " +
               wanted.texts + "))";
    }
    SQLite::Statement rows(
        file_->db(),
        "SELECT id, title, created_ms, updated_ms, "
        "(SELECT count(*) FROM messages WHERE conversation = conversations.number) "
        "FROM conversations WHERE " +
            where + " ORDER BY updated_ms DESC, conversations.number DESC LIMIT ? OFFSET ?");
    int at = 0;
    rows.bind(++at, holder);
    for (const std::string& value : wanted.title_values) rows.bind(++at, value);
    for (const std::string& value : wanted.text_values) rows.bind(++at, value);
    rows.bind(++at, limit);
    rows.bind(++at, offset);
    std::vector<ConversationSummary> list;
    while (rows.executeStep()) {
      list.push_back({rows.getColumn(0).getString(), rows.getColumn(1).getString(),
                      rows.getColumn(2).getInt64(), rows.getColumn(3).getInt64(),
                      rows.getColumn(4).getInt64(), ""});
      if (!wanted.words.empty()) {
        list.back().excerpt = file_->excerpt_of(holder, list.back().id, wanted);
      }
    }
    return list;
  });
}

std::optional<Conversation> ConversationStore::read(const std::string& holder,
                                                    const std::string& id) {
  return file_->guarded([&]() -> std::optional<Conversation> {
    SQLite::Transaction snapshot(file_->db());
    const std::int64_t number = file_->number_of(holder, id);
    if (number == 0) return std::nullopt;
    Conversation c;
    c.id = id;
    SQLite::Statement head(
        file_->db(),
        "SELECT title, leaf, created_ms, updated_ms FROM conversations WHERE number = ?");
    head.bind(1, number);
    head.executeStep();
    c.title = head.getColumn(0).getString();
    c.leaf = head.getColumn(1).getString();
    c.created_ms = head.getColumn(2).getInt64();
    c.updated_ms = head.getColumn(3).getInt64();
    SQLite::Statement rows(file_->db(),
                           "SELECT id, parent, role, content, details, created_ms FROM messages "
                           "WHERE conversation = ? ORDER BY number");
    rows.bind(1, number);
    while (rows.executeStep()) {
      c.messages.push_back({rows.getColumn(0).getString(), rows.getColumn(1).getString(),
                            rows.getColumn(2).getString(), rows.getColumn(3).getString(),
                            parse_json(rows.getColumn(4).getString(), "details"),
                            rows.getColumn(5).getInt64()});
    }
    return c;
  });
}

void ConversationStore::write(const std::string& holder, const std::string& id,
                              const ConversationChange& change) {
  file_->guarded([&] {
    SQLite::Database& db = file_->db();
    SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement begin(db,
                            "INSERT INTO conversations (holder, id, title, leaf, created_ms, "
                            "updated_ms) VALUES (?, ?, '', '', ?, ?) ON CONFLICT DO NOTHING");
    begin.bind(1, holder);
    begin.bind(2, id);
    begin.bind(3, now_ms());
    begin.bind(4, now_ms());
    begin.exec();
    const std::int64_t number = file_->number_of(holder, id);
    file_->put_messages(number, change.messages);
    file_->check(number, change.leaf);
    // Only what is said makes a conversation the latest: not a new name, not another branch.
    SQLite::Statement update(db,
                             "UPDATE conversations SET title = coalesce(?, title), "
                             "leaf = coalesce(?, leaf), updated_ms = coalesce(?, updated_ms) "
                             "WHERE number = ?");
    if (change.title) update.bind(1, *change.title);
    if (change.leaf) update.bind(2, *change.leaf);
    if (!change.messages.empty()) update.bind(3, now_ms());
    update.bind(4, number);
    update.exec();
    transaction.commit();
  });
}

bool ConversationStore::remove(const std::string& holder, const std::string& id) {
  return file_->guarded([&] {
    SQLite::Statement statement(file_->db(),
                                "DELETE FROM conversations WHERE holder = ? AND id = ?");
    statement.bind(1, holder);
    statement.bind(2, id);
    return statement.exec() > 0;
  });
}

}  // namespace stepstone
