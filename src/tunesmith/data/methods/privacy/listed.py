"""Names everybody knows, written down here: countries, what their people are called, large cities, given names, forms of
companies, and titles. All lower-case."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(word.strip() for word in words.replace("\n", " ").split(",") if word.strip())


COUNTRIES = _set(
    """afghanistan, albania, algeria, andorra, angola, argentina, armenia, australia, austria, azerbaijan, bahamas, bahrain, bangladesh,
    barbados, belarus, belgium, belize, benin, bhutan, bolivia, bosnia and herzegovina, bosnia, botswana, brazil, brunei, bulgaria,
    burkina faso, burundi, cambodia, cameroon, canada, cape verde, chad, chile, china, colombia, comoros, congo, costa rica, croatia, cuba,
    cyprus, czech republic, czechia, denmark, djibouti, dominica, dominican republic, east timor, ecuador, egypt, el salvador, england,
    eritrea, estonia, eswatini, ethiopia, faroe islands, fiji, finland, france, french guiana, gabon, gambia, georgia, germany, ghana,
    gibraltar, greece, greenland, grenada, guatemala, guinea, guinea-bissau, guyana, haiti, honduras, hong kong, hungary, iceland, india,
    indonesia, iran, iraq, ireland, israel, italy, ivory coast, jamaica, japan, jordan, kazakhstan, kenya, kiribati, kosovo, kuwait,
    kyrgyzstan, laos, latvia, lebanon, lesotho, liberia, libya, liechtenstein, lithuania, luxembourg, macau, macedonia, madagascar, malawi,
    malaysia, maldives, mali, malta, mauritania, mauritius, mexico, micronesia, moldova, monaco, mongolia, montenegro, morocco, mozambique,
    myanmar, burma, namibia, nauru, nepal, netherlands, the netherlands, new caledonia, new zealand, nicaragua, niger, nigeria, north korea,
    north macedonia, northern ireland, norway, oman, pakistan, palau, palestine, panama, papua new guinea, paraguay, peru, philippines,
    poland, portugal, puerto rico, qatar, romania, russia, russian federation, rwanda, samoa, san marino, saudi arabia, scotland, senegal,
    serbia, seychelles, sierra leone, singapore, slovakia, slovenia, solomon islands, somalia, south africa, south korea, south sudan, spain,
    sri lanka, sudan, suriname, sweden, switzerland, syria, taiwan, tajikistan, tanzania, thailand, togo, tonga, trinidad and tobago,
    tunisia, turkey, turkmenistan, tuvalu, uganda, ukraine, united arab emirates, united kingdom, united states, united states of america,
    uruguay, uzbekistan, vanuatu, vatican, venezuela, vietnam, wales, yemen, zambia, zimbabwe, great britain, uk, usa, uae,
    deutschland, österreich, schweiz, suisse, frankreich, italien, spanien, españa, italia, allemagne, espagne, royaume-uni"""
)

CITIES = _set(
    """aberdeen, abu dhabi, adelaide, amsterdam, ankara, antwerp, athens, atlanta, auckland, austin, baghdad, baltimore, bangalore, bangkok,
    barcelona, basel, beijing, beirut, belfast, belgrade, berlin, bern, birmingham, bogota, bologna, bombay, bonn, bordeaux, boston,
    bratislava, bremen, brisbane, bristol, brooklyn, brussels, bucharest, budapest, buenos aires, cairo, calgary, cambridge, canberra,
    cape town, caracas, cardiff, casablanca, charlotte, chennai, chicago, cincinnati, cleveland, cologne, copenhagen, dallas, delhi,
    denver, detroit, doha, dresden, dubai, dublin, durban, düsseldorf, edinburgh, essen, florence, frankfurt, geneva, genoa, ghent,
    glasgow, gothenburg, graz, hague, the hague, hamburg, hannover, hanoi, havana, helsinki, hiroshima, houston, hyderabad, indianapolis,
    istanbul, jakarta, jerusalem, johannesburg, kabul, kansas city, karachi, kiev, kyiv, kolkata, krakow, kuala lumpur, kyoto, lagos,
    lahore, las vegas, lausanne, leeds, leipzig, lille, lima, linz, lisbon, liverpool, ljubljana, london, los angeles, lyon, madrid,
    manchester, manila, marseille, melbourne, memphis, mexico city, miami, milan, milwaukee, minneapolis, minsk, montreal, moscow, mumbai,
    munich, münchen, nairobi, naples, nashville, new delhi, new orleans, new york, new york city, newcastle, nice, nottingham, nuremberg,
    oakland, odessa, oklahoma city, osaka, oslo, ottawa, oxford, palermo, paris, perth, philadelphia, phoenix, pittsburgh, portland, porto,
    prague, quebec, reykjavik, riga, rio de janeiro, rome, rotterdam, sacramento, salzburg, san antonio, san diego, san francisco,
    san jose, santiago, sao paulo, são paulo, sarajevo, seattle, seoul, seville, shanghai, sheffield, shenzhen, sofia, southampton,
    st. louis, stockholm, strasbourg, stuttgart, sydney, taipei, tallinn, tampa, tehran, tel aviv, tokyo, toronto, toulouse, tripoli,
    tunis, turin, utrecht, valencia, vancouver, venice, vienna, wien, vilnius, warsaw, wellington, winnipeg, zagreb, zurich, zürich,
    alabama, alaska, arizona, arkansas, california, colorado, connecticut, delaware, florida, hawaii, idaho, illinois, indiana, iowa,
    kansas, kentucky, louisiana, maine, maryland, massachusetts, michigan, minnesota, mississippi, missouri, montana, nebraska, nevada,
    new hampshire, new jersey, new mexico, north carolina, north dakota, ohio, oklahoma, oregon, pennsylvania, rhode island,
    south carolina, south dakota, tennessee, texas, utah, vermont, virginia, west virginia, wisconsin, wyoming, ontario, bavaria,
    catalonia, andalusia, tuscany, sicily, brittany, normandy, yorkshire, cornwall, queensland, tasmania, africa, asia, europe"""
)
"""Large cities, states of the USA, and some regions."""

PEOPLES = _set(
    """afghan, albanian, algerian, american, andorran, angolan, argentine, argentinian, armenian, australian, austrian, azerbaijani, bahraini,
    bangladeshi, belarusian, belgian, belizean, bolivian, bosnian, brazilian, british, bulgarian, burmese, cambodian, cameroonian, canadian,
    catalan, chilean, chinese, colombian, congolese, croatian, cuban, cypriot, czech, danish, dutch, ecuadorean, ecuadorian, egyptian,
    english, estonian, ethiopian, filipino, finnish, french, georgian, german, ghanaian, greek, greenlander, guatemalan, haitian, honduran,
    hungarian, icelandic, indian, indonesian, iranian, iraqi, irish, israeli, italian, jamaican, japanese, jordanian, kazakh, kenyan, korean,
    kurdish, kuwaiti, laotian, latvian, lebanese, liberian, libyan, lithuanian, macedonian, malaysian, maltese, mexican, moldovan, mongolian,
    moroccan, namibian, nepalese, nicaraguan, nigerian, norwegian, omani, pakistani, palestinian, panamanian, paraguayan, persian, peruvian,
    polish, portuguese, qatari, romanian, russian, rwandan, saudi, scottish, senegalese, serbian, singaporean, slovak, slovene, slovenian,
    somali, spanish, sudanese, surinamese, swedish, swiss, syrian, taiwanese, tanzanian, thai, tunisian, turkish, ugandan, ukrainian,
    uruguayan, uzbek, venezuelan, vietnamese, welsh, yemeni, zambian, zimbabwean, bruneian, swede, dane, finn, pole, spaniard, briton,
    englishman, frenchman, dutchman, irishman, scotsman, welshman, italians, latino, latina, hispanic, arab, african-american, asian-american,
    jewish, muslim, christian, catholic, protestant, buddhist, hindu, sikh, sunni, shia, shiite, orthodox, mormon, jew"""
)
"""What people of a nation, of a religion or of an origin are called; the plural is found too."""

GIVEN_NAMES = _set(
    """aaron, abigail, ada, adam, adrian, agnes, agnieszka, ahmed, aisha, alan, albert, alejandro, alessandro, alex, alexander, alexandra, alfred,
    ali, alice, alicia, alina, alison, amanda, amelia, amit, amy, ana, anders, andrea, andreas, andrew, andrzej, angela, anita, anja, anna,
    anne, annette, anthony, antonio, arjun, arthur, astrid, barbara, beatrice, ben, benjamin, bernard, beth, bettina, bill, birgit, bjorn,
    bob, brandon, brian, bruno, carl, carla, carlos, carmen, carol, caroline, catherine, cecilia, charles, charlotte, chen, chloe, chris,
    christian, christina, christine, christoph, christopher, claire, clara, claudia, clemens, connor, cristina, cynthia, daniel, daniela,
    danielle, david, deborah, denis, dennis, diana, diego, dieter, dirk, dmitri, dominik, donald, donna, dorothy, douglas, edgar, edward,
    elena, eleanor, eli, elias, elif, elizabeth, ella, ellen, emil, emily, emma, enrique, eric, erik, erika, ernst, esther, ethan, eva,
    evelyn, fatima, felix, fernando, fiona, florian, frances, francesco, francisco, franz, fred, frederick, fritz, gabriel, gabriela, gary,
    george, gerald, gerhard, gertrud, giovanni, giulia, giuseppe, gloria, gordon, grace, greg, gregory, greta, guillaume, gustav, hannah,
    hans, harold, harriet, harry, hassan, heather, heidi, heinrich, helen, helena, helga, henrik, henry, herbert, hiroshi, hugo, ian, ibrahim,
    ida, inge, ingrid, irene, iris, isaac, isabel, isabella, ivan, jack, jacob, jacqueline, jacques, jake, jakub, james, jan, jane, janet,
    jason, javier, jean, jeff, jeffrey, jennifer, jens, jeremy, jessica, jim, joan, joanna, joe, johan, johann, johannes, john, jonas,
    jonathan, jordan, jorge, jose, josé, josef, joseph, joshua, juan, judith, julia, julian, julie, julien, jürgen, justin, kaja, karen, karin,
    karl, katarzyna, kate, katherine, kathleen, katja, katrin, keith, kelly, ken, kenneth, kevin, khalid, kim, klaus, kristina, kumar, kurt,
    kyle, lars, laura, lauren, laurent, lea, lena, leo, leon, leonard, leonardo, liam, li, lina, linda, lisa, lorenzo, louis, louise, luca,
    lucas, lucia, lucy, luis, luisa, lukas, luke, magda, magdalena, manfred, manuel, marc, marco, marcel, marcus, margaret, margarita, maria,
    marie, marina, mario, marion, mark, markus, marta, martha, martin, martina, mary, mateo, mateusz, matteo, matthew, matthias, maurice, max,
    maximilian, maya, megan, mehmet, melanie, melissa, mia, michael, michal, michel, michelle, miguel, mikael, mike, milan, miriam, mohamed,
    mohammed, monica, monika, moritz, muhammad, mustafa, nadia, nadine, nancy, naomi, natalia, natalie, natasha, nathan, neil, nicholas, nick,
    nicola, nicolas, nicole, niels, nils, nina, noah, nora, olaf, oleg, olga, oliver, olivia, omar, oscar, otto, pablo, pamela, paola, paolo,
    patricia, patrick, paul, paula, paulina, pedro, peter, petra, philip, philipp, phillip, pierre, piotr, priya, rachel, rafael, rahul, raj,
    ralf, ralph, ramon, raymond, rebecca, regina, renate, ricardo, richard, rita, robert, roberto, robin, roger, roland, ronald, rosa, rose,
    ruben, rudolf, ruth, ryan, sabine, sally, sam, samantha, samir, samuel, sandra, sara, sarah, sean, sebastian, sergei, sergio, sharon, sheila,
    silvia, simon, simone, sofia, sonia, sophia, sophie, stefan, stefano, steffen, stella, stephanie, stephen, steve, steven, stuart, susan,
    susanne, svetlana, sven, sylvia, tanja, tatiana, teresa, thomas, tim, timothy, tina, tobias, tom, tomas, tomasz, tony, torsten, ulrich,
    ursula, uwe, valentina, vanessa, vera, veronika, victor, victoria, viktor, vincent, virginia, vladimir, walter, wei, wendy, werner, wilhelm,
    william, wolfgang, xavier, yusuf, yuki, yvonne, zachary, zoe, zofia"""
)
"""Common ones of many languages: they make a guess surer, and do not limit what is found."""

HONORIFICS = r"Mr|Mrs|Ms|Mx|Miss|Mister|Dr|Prof|Professor|Sir|Dame|Madam|Madame|Mme|Mlle|Monsieur|Herr|Frau|Señor|Señora|Sr|Sra|Signor|Signora|Don|Doña|Rev|Reverend|Father|Sister|Captain|Capt|Colonel|Col|Major|Maj|Lieutenant|Lt|Sergeant|Sgt|General|Admiral|Senator|Judge|Doctor|Lady|Lord|Uncle|Aunt|Pani|Pan|Dhr|Mevr"

COMPANY_FORMS = r"Inc|Incorporated|Ltd|Limited|LLC|LLP|Corp|Corporation|Co|Company|Group|Holdings?|PLC|plc|GmbH|AG|KG|SE|SA|S\.A|SAS|SARL|S\.L|SpA|S\.p\.A|BV|B\.V|NV|N\.V|AB|A/S|ApS|AS|Oy|Oyj|Pty|Sons|Brothers|Bros|Associates|Partners|Industries|Enterprises|Solutions|Technologies|Systems|Labs|Laboratories|Software|Pharmaceuticals|Bank|University|Institute|Foundation|Association|Hospital|College|Airlines|Airways|Motors|Records|Media|Ministry|Agency|Society|Union|Club"

JOBS = r"accountant|attendant|controller|distributor|actor|actress|administrator|analyst|architect|artist|assistant|attorney|auditor|baker|banker|barista|barrister|bookkeeper|broker|builder|buyer|captain|carpenter|cashier|chef|chemist|clerk|cleaner|coach|consultant|contractor|cook|coordinator|counsell?or|designer|developer|dentist|detective|director|driver|economist|editor|electrician|engineer|estimator|executive|farmer|firefighter|geologist|hairdresser|inspector|instructor|interpreter|investigator|journalist|judge|keeper|laborer|lawyer|lecturer|librarian|machinist|maintenance worker|manager|midwife|marketer|mechanic|miner|musician|nurse|officer|operator|optician|packager|painter|paramedic|pharmacist|photographer|physician|physicist|pilot|planner|plumber|policeman|postman|programmer|psychologist|realtor|receptionist|recruiter|reporter|representative|researcher|sailor|salesman|saleswoman|scientist|secretary|singer|soldier|solicitor|specialist|statistician|strategist|supervisor|surgeon|surveyor|tailor|teacher|technician|technologist|telemarketer|therapist|tiler|trader|trainer|translator|tutor|typist|veterinarian|waiter|waitress|welder|worker|writer"
