#include "infer/chat_session.h"

#include <algorithm>

#include "io/atomic_file.h"
#include "io/utf8.h"

namespace stepstone {
namespace {

const Stone& require_chat(const Stone& stone) {
  require<UsageError>(is_chat_model(stone),
                      "{}: is a base model: it continues text and does not know the chat format. "
                      "Continue a text with `stepstone generate -m {} -p TEXT`, or make a chat "
                      "model of it with `stepstone tune`",
                      stone.folder.string(), stone.folder.string());
  return stone;
}

}  // namespace

bool is_chat_model(const Stone& stone) { return !stone.chat_template.empty(); }

ChatTemplate chat_template(const Stone& stone) {
  return ChatTemplate(stone.tokenizer, stone.chat_template,
                      (stone.folder / "chat_template.jinja").string());
}

ChatSession::ChatSession(const Stone& stone, Generator& generator, EngineRequest request)
    : generator_(generator),
      template_(chat_template(require_chat(stone))),
      request_(std::move(request)) {
  request_.stop_tokens = stone.end_tokens;
  request_.when_full = WhenFull::stop;
}

void ChatSession::set_system(std::string text) { system_ = to_utf8_lossy(text); }

void ChatSession::reset() { messages_.clear(); }

ChatSession::Reply ChatSession::ask(std::string_view user, const OnText& on_text,
                                    const Interrupted& interrupted) {
  std::vector<Message> messages = messages_;
  messages.push_back({"user", to_utf8_lossy(user)});
  return answer(std::move(messages), on_text, interrupted);
}

ChatSession::Reply ChatSession::regenerate(const OnText& on_text, const Interrupted& interrupted) {
  require<UsageError>(!messages_.empty(), "there is no answer yet to give again");
  std::vector<Message> messages = messages_;
  messages.pop_back();
  return answer(std::move(messages), on_text, interrupted);
}

ChatSession::Reply ChatSession::answer(std::vector<Message> messages, const OnText& on_text,
                                       const Interrupted& interrupted) {
  Reply reply;
  request_.prompt = fit(messages, reply.dropped);
  reply.generation =
      generator_.generate(request_, {.on_text = on_text, .interrupted = interrupted});
  request_.first_draw += static_cast<std::uint64_t>(reply.generation.usage.completion_tokens);
  messages.push_back({"assistant", reply.generation.text});
  messages_ = std::move(messages);
  return reply;
}

std::vector<std::int32_t> ChatSession::fit(std::span<const Message> messages,
                                           std::size_t& dropped) const {
  const std::int64_t context = generator_.context();
  // Room that an answer gets at least.
  const std::int64_t room = std::min(request_.max_tokens, context / 4);
  for (dropped = 0; dropped < messages.size(); dropped += 2) {
    std::vector<Message> seen;
    if (!system_.empty()) seen.push_back({"system", system_});
    seen.insert(seen.end(), messages.begin() + static_cast<std::ptrdiff_t>(dropped),
                messages.end());
    RenderedChat chat = template_.render(seen, true);
    if (static_cast<std::int64_t>(chat.ids.size()) + room <= context) return std::move(chat.ids);
  }
  throw UsageError(
      fmt::format("this message{} is too long for the context of {} tokens, of which {} are kept "
                  "for the answer",
                  system_.empty() ? "" : " with the system message", context, room));
}

void ChatSession::save(const std::filesystem::path& file) const {
  Json list = Json::array();
  if (!system_.empty()) list.push_back({{"role", "system"}, {"content", system_}});
  for (const Message& message : messages_) {
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  write_file(file, dump_json({{"messages", list}}) + "\n");
}

}  // namespace stepstone
