"""What customers of the made-up shop say. `[a|b|]` stands for one of its parts; `{slot}` for a value."""

from __future__ import annotations

SHARE_OF_INTENT = {
    "delivery_status": 22,
    "refund": 17,
    "damaged_item": 13,
    "wrong_item": 10,
    "cancel_order": 9,
    "login_problem": 9,
    "product_question": 7,
    "change_address": 6,
    "change_plan": 4,
    "invoice": 3,
}
"""Percent of the messages; support desks are never balanced."""

REASONS: dict[str, list[str]] = {
    "delivery_status": [
        "[where is|any news on|what happened to|can you find] [my order|my parcel|order {order}|the {item}][ i bought {when}|]",
        "[my|the] {item} [was supposed to|should have|was meant to] [arrive|come|be here] {when} and [nothing yet|it is still not here|i am still waiting]",
        "tracking [says|shows|has said] [in transit|label created|out for delivery] [since {when}|for days now] [and nothing moves|but nobody came|]",
        "[when|what day] will [order {order}|my {item}|the parcel] [be delivered|get here|arrive|turn up]",
        "[i ordered|i paid for] [a|the] {item} {when} and [have heard nothing|have not seen it|it never turned up]",
        "the courier [claims|says] it was [delivered|left with a neighbour] {when} but [nobody here has it|i got nothing|there is no parcel]",
        "[how long|how many days] [does shipping take|until it ships|do i still have to wait], i ordered {when}",
        "it has been [two weeks|ten days|ages], [is|was] {order} even [sent|shipped|on its way]",
    ],
    "refund": [
        "[i want|i would like|please give me|can i get] my money back for [the {item}|order {order}]",
        "[i sent|we returned|i posted] the {item} back {when}, [when do i get paid back|where is the money|nothing on my account yet]",
        "you [charged|billed|debited] me [twice|two times|double] for [order {order}|the {item}], [please put it back|please reverse that|i need that returned to my card]",
        "[the {item} is|it is] not [what i hoped for|for me|right for us], [i want to return it|how do i send it back and get repaid]",
        "[i was promised|your colleague promised me|they told me i would get] a refund {when} [and nothing came|but my bank shows nothing|]",
        "[please credit|please reimburse|please pay back] the [amount|full price|shipping costs] [of|for] {order}",
        "[returning|sending back] the {item}, [which account does the money go to|how is it paid out|how long until i am repaid]",
        "the price of the {item} [dropped|fell] [a day after|right after] i bought it, [i want the difference back|can you repay the difference]",
    ],
    "damaged_item": [
        "[my|the] {item} [came|arrived|turned up] [broken|cracked|smashed|scratched|bent|in pieces]",
        "[opened the box|unpacked it {when}] and the {item} [has a crack|is dented|does not switch on|is leaking|has a big scratch]",
        "the {item} [stopped working|died|gave up] [after a day|{when}|the first time i used it]",
        "the [box|parcel|carton] was [crushed|soaked|torn open] and [the {item} inside is ruined|so is the {item}|what is in it no longer works]",
        "[there is|i found] a [fault|defect|hole] [in|on] the {item} [i got|you sent|that came {when}]",
        "[the screen|the handle|the lid|one leg] of the {item} is [broken off|loose|shattered|split]",
        "the {item} [makes a burning smell|rattles and sparks|gets far too hot], [i do not dare to use it|is that safe|surely it is faulty]",
        "[only half of it works|it is dead on arrival|it will not charge], the {item} from [order {order}|{when}]",
    ],
    "wrong_item": [
        "i [ordered|bought|asked for] a {item} and [got|received|you sent me] a {other}",
        "[this is not the {item} i picked|not the colour i chose|that is the wrong size], [it says {colour} on the order|i had chosen {colour}|i need a bigger one]",
        "[you sent|there was] somebody [else's|elses] {item} in my [box|parcel]",
        "[half|part] of [order {order}|my order] is [missing|not in the box], there was [no {item}|only the {other}]",
        "[wrong model|wrong version|wrong colour], the {item} [should be|was meant to be] {colour}",
        "the label says {item} but [inside is a {other}|there is a {other} in it|what i hold is a {other}]",
        "[why did i get|what am i to do with] a {other}, [i never ordered one|my order {order} was for a {item}]",
        "[can you swap|please exchange] the {other} for the {item} [i actually ordered|on my order]",
    ],
    "cancel_order": [
        "[please cancel|cancel|i need to cancel|stop] [order {order}|my order|the {item} i ordered {when}]",
        "[i changed my mind about|i no longer need|we do not need] the {item}, [please do not send it|do not ship it|take it off]",
        "[i clicked twice|i ordered twice by mistake|my son ordered this], [please drop one|please stop the second {item}|one of them must not go out]",
        "[is it too late|can i still|is there time] to [call off|withdraw|undo] [order {order}|what i ordered {when}]",
        "[found it cheaper|a friend gave me one|it takes too long], so [please stop the order|do not send the {item}|call it off] [if it has not shipped|before it ships|]",
        "[do not dispatch|hold back|please do not process] [{order}|the {item}], [i do not want it any more|it was a mistake|i ordered the wrong thing]",
        "[i withdraw|i revoke|we annul] [my order|the purchase] of {when}, [number {order}|the {item}]",
    ],
    "login_problem": [
        "[i can not|i cannot|cant] [log in|sign in|get into my account] [since {when}|any more|]",
        "[the reset mail|the password link|the code] [never comes|does not arrive|has expired]",
        "it [says|keeps saying|tells me] [wrong password|account locked|unknown user] [but i am sure it is right|every time|]",
        "[locked out|shut out] of my [account|profile] after [three tries|the update|changing my phone]",
        "[the app|the site|your page] [throws me out|logs me off|goes back to the start] [when i enter my password|as soon as i sign in]",
        "i [lost|changed|no longer have] my [phone|number|old mail address] and can not [get the code|confirm it is me|get in]",
        "[how do i|where can i] [reset|recover|set a new] [password|pin for my account], [the button does nothing|the old one is gone]",
    ],
    "product_question": [
        "[does|will|can] the {item} [fit|work with|go with] [a {other}|european plugs|the older model]",
        "[is|will] the {item} [be back|in stock|available] in {colour} [soon|again|]",
        "[how big|how heavy|how loud|how long] is the {item}[, the page does not say| exactly|]",
        "[which|what] [{item}|model] do you [recommend|suggest] for [a small flat|beginners|my mother|daily use]",
        "[what is the difference|how do i choose] between the {item} and the {other}",
        "[can the {item} go|may i put the {item}] [in the dishwasher|outdoors|in the oven], [the manual is silent|nothing in the description]",
        "[is the {item} made of|does the {item} contain] [real wood|plastic|latex|nickel]",
    ],
    "change_address": [
        "[i moved|we moved|i am moving] {when}, [please send {order} to|the new address is|deliver to] {street}",
        "[please change|can you correct|update] the [address|street|house number] [on|of|for] [order {order}|my order|my account]",
        "[i typed|there is] a [wrong street|wrong postcode|mistake in the address], [it should be|please use] {street}",
        "[can you send|please deliver] the {item} to [my office|a neighbour|{street}] [instead|rather than home]",
        "[nobody is home|i am away] {when}, [can it go to|please redirect it to] {street}",
        "[new flat|new office], [same name|same customer], [from now on|please deliver to] {street}",
    ],
    "change_plan": [
        "[i want to|please|can i] [switch|move|change] [to|from] the [monthly|yearly|family|basic] [plan|subscription]",
        "[please end|i wish to stop|how do i quit] my [membership|subscription|premium plan] [at the end of the month|from {when}|]",
        "[pause|freeze] my [subscription|box|membership] [for a month|over the summer|until i am back]",
        "[what do i save|is it cheaper] if i [take the yearly plan|go down to basic|share the family plan]",
        "[you renewed|it renewed] my [plan|membership] {when}, [i meant to let it end|i wanted the smaller one]",
        "[add|put] [my wife|a second user|two more seats] [to|on] [our plan|my subscription]",
    ],
    "invoice": [
        "[please send|i need|can i have] [an invoice|the bill|a receipt] for [order {order}|the {item}|what i bought {when}]",
        "[the invoice|my receipt|the bill] [has the wrong name|lacks the tax number|shows the private address], [please correct it|can you reissue it|accounting rejects it]",
        "[where can i|how do i] [download|print|find] [my invoices|the bill for {order}|receipts]",
        "[our bookkeeper|the tax office|my company] [needs|wants] [a proper bill|the vat shown|a copy of the receipt] for {order}",
        "[no paper|no bill|no receipt] [in the box|came with the {item}], [i need one for the warranty|i need it for my taxes]",
    ],
}

ASIDES = [
    "[the invoice is fine by the way|i already have the receipt]",
    "[i do not want a refund|it is not about the money|no refund needed]",
    "[my address is still the same|the address is correct]",
    "[the last parcel came quickly|delivery was fast last time|shipping was quick this time]",
    "[i have no trouble logging in|i am logged in as i write this|i wrote from the app]",
    "[i have been a member for years|i have the premium plan|longtime subscriber here]",
    "[the other {item} works well|the {other} from the same order is fine]",
    "[i nearly cancelled|i do not want to cancel|please do not cancel anything]",
    "[i called {when} already|this is my third message|nobody answered the phone]",
    "[order number {order}|it is about {order}|ref {order}]",
    "[quite disappointed|this is urgent|not happy|no hurry|bit annoyed to be honest]",
    "[i asked about the {other} before|my neighbour has the same {item}]",
]

OPENINGS = {
    "email": ["Dear team,", "Hello,", "Good morning,", "Hi there,", "To whom it may concern,", "Dear Sir or Madam,", ""],
    "chat": ["hi", "hey", "hello", "yo", "hi there", "", "", "", "question:"],
    "phone": ["Hi, um,", "Yes, hello,", "Good afternoon, so,", "Right, so,", "Hello, it's about, uh,", ""],
}
CLOSINGS = {
    "email": [
        "Kind regards,\n{name}",
        "Thanks\n{name}",
        "Best, {name}",
        "Yours sincerely\n{name}",
        "Sent from my phone",
        "{name}\n{street}",
        "",
    ],
    "chat": ["thx", "thanks", "pls help", "asap", "??", "", "", "", ":("],
    "phone": ["Thank you.", "Okay, bye.", "Could somebody call me back.", "That's all.", "", ""],
}
FILLERS = ["um", "uh", "you know", "I mean", "well", "like"]
REGIONS = {"north": 40, "south": 30, "west": 20, "islands": 10}
CHANNELS = {"email": 45, "chat": 35, "phone": 20}
ITEMS = (
    "kettle|desk lamp|office chair|blender|rain jacket|bookshelf|headset|tent|backpack|coffee grinder|garden hose|"
    "monitor|toaster|yoga mat|bike light|suitcase|rug|drill|teapot|pillow|keyboard|stroller|mirror|hiking boots"
).split("|")
COLOURS = "black|white|green|dark blue|red|grey|oak|yellow".split("|")
TIMES = (
    "yesterday|last week|on Monday|on Friday|three days ago|in March|on the 3rd|last month|this morning|"
    "a fortnight ago|over the weekend|on Tuesday"
).split("|")
NAMES = "Ana Silva|Tom Baker|J. Okafor|Mia Chen|Lars Holm|Priya N.|Grace O'Neil|Ivan Petrov|Chloé Martin|Sam".split("|")
STREETS = "12 Mill Lane|Harbour Road 7|45b Station St|Oak Avenue 101|3 Church Hill|PO Box 88|Flat 9, Tower Court".split("|")
