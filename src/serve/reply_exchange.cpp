#include "serve/reply_exchange.h"

namespace stepstone {

ReplyExchange::ReplyExchange(ServedModel& model, std::shared_ptr<HttpReply> reply,
                             ChatRequest request)
    : TextExchange(model, std::move(reply), std::move(request.options),
                   {std::move(request.prompt)}),
      style_(request.tools.style),
      replies_(choices()) {
  const ToolUse& tools = request.tools;
  if (!tools.offered()) return;
  parsers_.assign(choices(),
                  ToolCallParser(tools.style, tools.names, tools.forced, tools.max_calls));
}

void ReplyExchange::take_part(std::size_t choice, Part part) {
  Reply& reply = replies_[choice];
  ReplyPart out{part.first, {}, {}, std::move(part.logprobs), part.finish, part.stopped_by};
  const auto take = [&](AnswerPiece piece) {
    out.text += piece.text;
    for (ToolCallPiece& call : piece.calls) {
      const bool first = call.call == reply.calls.size();
      if (first) {
        // Templates of Mistral want ids of nine letters and digits.
        std::string id = random_id(style_ == ToolStyle::mistral ? "" : "call_");
        if (style_ == ToolStyle::mistral) id.resize(9);
        reply.calls.push_back({std::move(id), std::move(call.name), {}});
      }
      reply.calls[call.call].arguments += call.arguments;
      out.calls.push_back({call.call, first, std::move(call.arguments)});
    }
  };
  if (parsers_.empty()) {
    out.text = std::move(part.text);
  } else {
    take(parsers_[choice].push(part.text));
    if (part.finish != FinishReason::none) take(parsers_[choice].finish());
  }
  reply.text += out.text;
  reply.finish = part.finish;
  reply.stopped_by = std::move(part.stopped_by);
  if (options().stream) return take_reply(choice, out);
  std::ranges::move(out.logprobs, std::back_inserter(reply.logprobs));
}

}  // namespace stepstone
