// What every page of the site loads, from a server or a file: no module, nothing from elsewhere.

const html = document.documentElement

// Before anything is drawn.
if (localStorage.theme) html.style.colorScheme = localStorage.theme

addEventListener('DOMContentLoaded', () => {
  const contents = document.querySelector('details.contents')
  if (contents && matchMedia('(min-width: 80rem)').matches) contents.open = true

  // The menu scrolls by itself where it is beside the page.
  const menu = document.getElementById('menu')
  const current = menu.querySelector('[aria-current]')
  if (current) menu.scrollTop = current.offsetTop - menu.offsetTop - menu.clientHeight / 2

  document.getElementById('theme').addEventListener('click', () => {
    const dark = matchMedia('(prefers-color-scheme: dark)').matches
    const now = localStorage.theme ?? (dark ? 'dark' : 'light')
    localStorage.theme = now === 'dark' ? 'light' : 'dark'
    html.style.colorScheme = localStorage.theme
  })

  const input = document.querySelector('search input')
  const found = document.getElementById('found')
  const show = () => found.replaceChildren(...search(input.value).map(render))
  input.addEventListener('focus', () => loadSections(show), { once: true })
  input.addEventListener('input', show)
  addEventListener('keydown', (event) => {
    const links = [...found.querySelectorAll('a')]
    if (event.key === '/' && document.activeElement !== input) input.focus()
    else if (event.key === 'Escape') {
      input.value = ''
      found.replaceChildren()
    } else if (event.key === 'Enter' && document.activeElement === input) links[0]?.click()
    else if (links.length > 0 && /^Arrow(Up|Down)$/.test(event.key)) {
      const index = links.indexOf(document.activeElement) + (event.key === 'ArrowDown' ? 1 : -1)
      if (index < 0) input.focus()
      else links[Math.min(index, links.length - 1)].focus()
    } else return
    event.preventDefault()
  })
  document.addEventListener('click', ({ target }) => {
    if (!target.closest('search')) found.replaceChildren()
  })
})

/** As a script, not by fetch: that is refused to pages from files. */
function loadSections(then) {
  const script = document.createElement('script')
  script.src = `${html.dataset.root}sections.js`
  script.onload = () => {
    for (const section of window.sections)
      section.push(section.slice(1).map((text) => text.toLowerCase()))
    then()
  }
  document.head.append(script)
}

/**
 * Words by their stem, so that `migrations` finds `migration`; of Chinese, which has no spaces, each two characters that
 * are next to each other.
 */
function termsOf(query) {
  const runs = query.toLowerCase().match(/\p{Script=Han}+|[^\s\p{Script=Han}]+/gu) ?? []
  return runs.flatMap((run) => {
    if (!/\p{Script=Han}/u.test(run))
      return run.length > 4 ? run.replace(/(ing|ies|es|ed|s|e)$/, '') : run
    return run.length < 3
      ? run
      : Array.from({ length: run.length - 1 }, (_, i) => run.slice(i, i + 2))
  })
}

/**
 * The sections with the most of what is asked; of Chinese with half of that, as some pairs of characters are no words. What few
 * sections have counts for more.
 */
function search(query) {
  const terms = termsOf(query)
  const sections = window.sections ?? []
  const weights = terms.map((term) => {
    const having = sections.filter((section) =>
      section[4].some((text) => text.includes(term)),
    ).length
    return having && Math.log(1 + sections.length / having)
  })
  const whole = query.trim().toLowerCase()
  const rated = sections.map((section) => {
    const [title, heading, text] = section[4]
    const values = terms.map((term) => {
      const count = text.split(term, 6).length - 1
      return count + (heading.includes(term) ? 8 : 0) + (title.includes(term) ? 3 : 0)
    })
    const sum = values.reduce((sum, value, index) => sum + value * weights[index], 0)
    const factor = heading === whole ? 3 : heading.includes(whole) || text.includes(whole) ? 1.5 : 1
    const term = terms.find((term) => text.includes(term))
    return { section, met: values.filter(Boolean).length, score: sum * factor, term }
  })
  const most = Math.max(...rated.map(({ met }) => met))
  const least = Math.max(1, /\p{Script=Han}/u.test(query) ? most / 2 : most)
  return rated
    .filter(({ met }) => met >= least)
    .sort((a, b) => b.score - a.score)
    .slice(0, 20)
}

function render({ section: [url, title, heading, text], term }) {
  const link = document.createElement('a')
  link.href = html.dataset.root + url
  const name = document.createElement('strong')
  name.textContent = heading === title ? title : `${heading} · ${title}`
  link.append(name)
  const at = term === undefined ? -1 : text.toLowerCase().indexOf(term)
  if (at >= 0) {
    const mark = document.createElement('mark')
    mark.textContent = text.slice(at, at + term.length)
    const before = at > 50 ? `…${text.slice(at - 50, at)}` : text.slice(0, at)
    link.append(before, mark, text.slice(at + term.length, at + 110))
  }
  return link
}
