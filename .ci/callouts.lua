-- Quarto's callouts, from its documentation: a box with a head, folded if collapse="true"
local WORDS = {
  ["callout-note"] = "Note",
  ["callout-warning"] = "Warning",
  ["callout-tip"] = "Tip",
  ["callout-important"] = "Important",
  ["callout-caution"] = "Caution",
}

function Div(el)
  for _, class in ipairs(el.classes) do
    if class:match("^callout%-") then
      local title = WORDS[class] or class
      if #el.content > 0 and el.content[1].t == "Header" then
        local head = pandoc.Pandoc({ pandoc.Plain(el.content[1].content) })
        title = pandoc.write(head, "html", { html_math_method = "katex" })
        el.content:remove(1)
      end
      local open = '<div class="callout-header"><div class="callout-title-container">' .. title .. "</div></div>"
      local close = ""
      if el.attributes.collapse == "true" then
        open, close = '<details><summary class="callout-header">' .. title .. "</summary>", "</details>"
      end
      el.attributes.collapse = nil
      el.classes = { "callout", "callout-style-default", class, "callout-titled" }
      el.content:insert(1, pandoc.RawBlock("html", open .. '<div class="callout-body-container callout-body">'))
      el.content:insert(pandoc.RawBlock("html", "</div>" .. close))
      return el
    end
  end
end
