#include "serve/conversation_api.h"

#include <algorithm>

#include "serve/api_error.h"
#include "serve/query.h"
#include "serve/request_fields.h"

namespace stepstone {
namespace {

constexpr std::size_t kMaxId = 64, kMaxTitle = 400, kMaxSearch = 400, kMaxDetails = 8192;

// Turns a failing disk into 507.
template <typename F>
auto stored(F&& work) {
  try {
    return work();
  } catch (const StorageError& e) {
    throw ApiError(507, e.what(), {}, "not_stored");
  }
}

void check_id(const std::string& id, std::string_view field) {
  const auto good = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_';
  };
  if (id.empty() || id.size() > kMaxId || !std::ranges::all_of(id, good)) {
    throw ApiError(400, "an id has 1 to 64 of A-Z, a-z, 0-9, - and _", std::string(field));
  }
}

std::string text_within(const Json& json, std::string_view field, std::size_t limit) {
  auto text = get<std::string>(json, field, kRequest);
  if (text.size() > limit) {
    throw ApiError(400, fmt::format("{} may have {} bytes", field, limit), std::string(field));
  }
  return text;
}

// What follows "/conversations/".
std::string id_of(const HttpRequest& request) {
  const std::string id = request.path.substr(request.path.rfind('/') + 1);
  check_id(id, "id");
  return id;
}

ConversationMessage message_of(const Json& json) {
  ConversationMessage m;
  m.id = get<std::string>(json, "id", kRequest);
  check_id(m.id, "messages");
  m.parent = get_or<std::string>(json, "parent", kRequest, "");
  m.role = get<std::string>(json, "role", kRequest);
  if (m.role != "user" && m.role != "assistant" && m.role != "system") {
    throw ApiError(400, "role must be user, assistant or system", "messages");
  }
  m.content = get<std::string>(json, "content", kRequest);
  m.details = get_or<Json>(json, "details", kRequest, Json::object());
  if (!m.details.is_object() || dump_json(m.details).size() > kMaxDetails) {
    throw ApiError(400, fmt::format("details must be an object of {} bytes at most", kMaxDetails),
                   "messages");
  }
  return m;
}

ConversationChange change_of(const Json& body) {
  ConversationChange change;
  if (given(body, "title")) change.title = text_within(body, "title", kMaxTitle);
  if (given(body, "leaf")) change.leaf = text_within(body, "leaf", kMaxId);
  for (const Json& message : get_or(body, "messages", kRequest, std::vector<Json>())) {
    change.messages.push_back(message_of(message));
  }
  return change;
}

Json json_of(const Conversation& c) {
  Json messages = Json::array();
  for (const ConversationMessage& m : c.messages) {
    messages.push_back({{"id", m.id},
                        {"parent", m.parent},
                        {"role", m.role},
                        {"content", m.content},
                        {"details", m.details},
                        {"created_ms", m.created_ms}});
  }
  return {{"id", c.id},
          {"title", c.title},
          {"leaf", c.leaf},
          {"created_ms", c.created_ms},
          {"updated_ms", c.updated_ms},
          {"messages", std::move(messages)}};
}

std::string markdown_of(const Conversation& c) {
  std::string text = fmt::format("# {}\n", c.title);
  for (const ConversationMessage* m : c.branch()) {
    const std::string_view who = m->role == "user" ? "User" : "Assistant";
    text += fmt::format("\n## {}\n\n{}\n", m->role == "system" ? "System" : who, m->content);
  }
  return text;
}

// A line as `stepstone tune` takes them.
std::string jsonl_of(const Conversation& c) {
  Json messages = Json::array();
  for (const ConversationMessage* m : c.branch()) {
    messages.push_back({{"role", m->role}, {"content", m->content}});
  }
  return dump_json({{"messages", std::move(messages)}}) + "\n";
}

}  // namespace

ConversationApi::ConversationApi(const std::filesystem::path& file) {
  try {
    store_.emplace(file);
  } catch (const StorageError& e) {
    problem_ = e.what();
    store_.emplace();
  }
}

HttpResponse ConversationApi::list(const HttpRequest& request, const std::string& holder) {
  const std::string search = query_value(request.query, "search");
  if (search.size() > kMaxSearch) {
    throw ApiError(400, fmt::format("search may have {} bytes", kMaxSearch), "search");
  }
  const std::int64_t limit = query_integer(request.query, "limit", 50, 1, 500);
  const std::int64_t offset = query_integer(request.query, "offset", 0, 0, 1 << 30);
  const auto found = stored([&] { return store_->list(holder, search, limit + 1, offset); });
  Json list = Json::array();
  for (const ConversationSummary& c : found) {
    if (std::ssize(list) == limit) break;
    list.push_back({{"id", c.id},
                    {"title", c.title},
                    {"created_ms", c.created_ms},
                    {"updated_ms", c.updated_ms},
                    {"messages", c.messages}});
    if (!search.empty()) list.back()["excerpt"] = c.excerpt;
  }
  return {200, dump_json({{"conversations", std::move(list)},
                          {"more", std::ssize(found) > limit},
                          {"problem", problem_.empty() ? Json() : Json(problem_)}})};
}

HttpResponse ConversationApi::read(const HttpRequest& request, const std::string& holder) {
  const std::string id = id_of(request);
  const auto found = stored([&] { return store_->read(holder, id); });
  if (!found) throw ApiError(404, "there is no such conversation", "id");
  const std::string format = query_value(request.query, "format");
  if (format.empty() || format == "json") return {200, dump_json(json_of(*found))};
  if (format == "jsonl") return {200, jsonl_of(*found), "application/x-ndjson"};
  if (format == "markdown") return {200, markdown_of(*found), "text/markdown; charset=utf-8"};
  throw ApiError(400, "format must be json, jsonl or markdown", "format");
}

HttpResponse ConversationApi::write(const HttpRequest& request, const std::string& holder) {
  const std::string id = id_of(request);
  const ConversationChange change = change_of(parse_body(request.body).json);
  stored([&] { store_->write(holder, id, change); });
  return {200, dump_json({{"id", id}})};
}

HttpResponse ConversationApi::remove(const HttpRequest& request, const std::string& holder) {
  const std::string id = id_of(request);
  if (!stored([&] { return store_->remove(holder, id); })) {
    throw ApiError(404, "there is no such conversation", "id");
  }
  return {200, dump_json({{"id", id}, {"deleted", true}})};
}

}  // namespace stepstone
