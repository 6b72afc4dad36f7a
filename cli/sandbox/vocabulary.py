"""Invented names and phrases for synthetic conferences."""

FIRST_NAMES = (
    *("Aino", "Amadou", "Beatriz", "Chiamaka", "Dagný", "Deniz", "Eilidh", "Farida", "Giulia"),
    *("Ibrahim", "Ilinca", "Jürgen", "Kaori", "Kwame", "Łucja", "Mateus", "Mehwish", "Nguyệt"),
    *("Oluwaseun", "Priya", "Rasmus", "Şebnem", "Siobhán", "Tane", "Wanjiru", "Yerlan", "Zoë"),
)
LAST_NAMES = (
    *("Adlersund", "Brannoway", "Casterano", "Dövényhat", "Elmshagen", "Ferroudja", "Gravnesen"),
    *("Hoshikawara", "Ivermaa", "Jasnowicz", "Kettelhahn", "Mbalewi", "Norvalde", "Okelaru"),
    *("Pereluna", "Quillherne", "Rautasalmi", "Tiravanna", "Vasilkova-Brandt", "Zierenfels"),
)
WORK = ("Developer", "Architect", "Researcher", "Tester", "Trainer", "Maintainer")
FIRMS = ("Blue Kettle", "Nordlicht Lab", "Papaya Works", "Tiny Turbine", "Ottakring Systems")
SUBJECTS = (
    *("Event sourcing", "Observability", "Accessible forms", "Edge caching", "Property tests"),
    *("PostgreSQL", "WebAssembly", "Feature flags", "Supply chains", "Domain models", "Kafka"),
    *("Green computing", "Type systems", "Incident reviews", "Open data", "Passkeys"),
    "Code review",
)
ANGLES = (
    *("for the impatient", "from the ground up", "after ten years", "without tears"),
    *("in a small team", "on a tight budget", "and the people who run it", "in one afternoon"),
    *("what nobody told us", "a field guide", "when everything fails", "under the microscope"),
    "at the scale of a city",
)
SENTENCES = (
    "We start with a system that works and find out why.",
    "Bring a laptop, curiosity and one unsolved problem.",
    "You will leave with a checklist that fits on a postcard.",
    "No prior knowledge is needed – only patience.",
    "Half of the time is live coding, the other half is explaining what broke.",
    "All examples come from one year of running it ourselves.",
)
ROOMS = ("Main Hall", "Danube", "Wienerwald", "Arlberg", "Neusiedler See", "Semmering")
CATEGORIES: tuple[tuple[int, str, tuple[str, ...]], ...] = (
    (100, "Track", ("Build", "Run", "Think")),
    (200, "Level", ("Introductory", "Intermediate", "Advanced")),
)
