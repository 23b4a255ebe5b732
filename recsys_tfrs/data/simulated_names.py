"""Invented films and people: words for titles, genres, occupations. No film of this catalogue exists.

Titles are built from words of the film's main genre (which words tell the facet within the genre), films of one
series share a title and differ by a numeral, and the year stands in brackets as in MovieLens.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: MovieLens' occupations.
OCCUPATIONS = [
    "administrator",
    "artist",
    "doctor",
    "educator",
    "engineer",
    "entertainment",
    "executive",
    "healthcare",
    "homemaker",
    "lawyer",
    "librarian",
    "marketing",
    "none",
    "other",
    "programmer",
    "retired",
    "salesman",
    "scientist",
    "student",
    "technician",
    "writer",
]

#: Words of each of MovieLens' eighteen genres: eight adjectives | twelve nouns, the nouns in the order of facets.
_WORDS = {
    "Action": "Iron Furious Relentless Rogue Explosive Burning Armed Fearless"
    "|Strike Assault Commando Pursuit Chase Engine Bullet Arsenal Trigger Fist Vengeance Showdown",
    "Adventure": "Lost Golden Uncharted Distant Daring Hidden Wild Boundless"
    "|Temple Idol Ruins Voyage Expedition Compass Jungle River Summit Treasure Map Island",
    "Animation": "Painted Bouncing Tiny Colorful Wobbly Paper Cheerful Sketchy"
    "|Crayon Pencil Doodle Puppet Marionette Toybox Raccoon Penguin Hedgehog Balloon Pinwheel Lantern",
    "Children": "Little Magic Sleepy Giggling Brave Fuzzy Merry Curious"
    "|Puppy Kitten Pony Playground Treehouse Sandbox Birthday Picnic Carnival Teddy Button Blanket",
    "Comedy": "Clumsy Awkward Ridiculous Accidental Hapless Cheeky Absurd Tipsy"
    "|Wedding Bachelor Honeymoon Roommates Neighbors Inlaws Vacation Roadtrip Cruise Office Intern Reunion",
    "Crime": "Crooked Dirty Ruthless Guilty Corrupt Stolen Wanted Merciless"
    "|Heist Vault Getaway Mobster Syndicate Godfather Detective Precinct Badge Verdict Alibi Felony",
    "Documentary": "Untold Forgotten Living True Recorded Authentic Unseen Remembered"
    "|Ocean Glacier Rainforest Archive Chronicle Testimony Factory Harvest Market Orchestra Studio Stadium",
    "Drama": "Broken Quiet Fragile Tender Bitter Fading Lonely Honest"
    "|Mother Daughter Brothers Promise Letter Confession Autumn Winter Harbor Courtroom Hospital Schoolhouse",
    "Fantasy": "Enchanted Eternal Mystic Elven Sacred Cursed Winged Ancient"
    "|Dragon Griffin Unicorn Sorcerer Wizard Witch Kingdom Throne Crown Amulet Scepter Prophecy",
    "Film-Noir": "Shadowy Smoky Midnight Rainsoaked Double Fatal Crimson Faithless"
    "|Alley Pier Boulevard Dame Stranger Widow Cigarette Trenchcoat Nightclub Blackmail Ransom Frameup",
    "Horror": "Haunted Bloody Screaming Unholy Rotting Dreadful Possessed Grisly"
    "|Mansion Cellar Attic Zombie Vampire Ghoul Asylum Graveyard Crypt Scalpel Cleaver Chainsaw",
    "Musical": "Dancing Singing Dazzling Rhythmic Swinging Melodic Glittering Harmonious"
    "|Broadway Curtain Encore Ballet Tango Waltz Piano Trumpet Violin Chorus Melody Serenade",
    "Mystery": "Missing Secret Cryptic Vanished Puzzling Locked Silent Nameless"
    "|Manuscript Cipher Diary Inspector Sleuth Witness Lighthouse Manor Library Riddle Enigma Clue",
    "Romance": "Loving Heartfelt Passionate Secretly Moonlit Forbidden Dearest Wistful"
    "|Kiss Embrace Heart Paris Venice Seaside Bride Sweetheart Lovers Roses Perfume Valentine",
    "Sci-Fi": "Quantum Stellar Galactic Synthetic Orbital Cosmic Parallel Cybernetic"
    "|Starship Nebula Asteroid Android Robot Clone Colony Outpost Station Paradox Timeline Wormhole",
    "Thriller": "Deadly Paranoid Sinister Hunted Trapped Ticking Lethal Hostile"
    "|Hostage Captive Kidnapper Conspiracy Informant Assassin Countdown Deadline Detonator Obsession Stalker Intruder",
    "War": "Fallen Last Valiant Bombed Marching Besieged Wounded Patriotic"
    "|Battalion Regiment Platoon Trench Bunker Frontline Squadron Bomber Submarine General Sniper Medic",
    "Western": "Dusty Lonesome Outlaw Quickdraw Untamed Bowlegged Sunburnt Rawhide"
    "|Sheriff Deputy Marshal Saloon Canyon Prairie Mustang Cattle Stagecoach Revolver Bounty Goldrush",
}

GENRES = tuple(_WORDS)
NOUNS_PER_GENRE = 12

#: Endings that say nothing about the film; they only keep titles apart.
_TAILS = [
    "",
    "of Arden",
    "of Belmora",
    "of Corvin",
    "of Dellwood",
    "of Estra",
    "of Farrow",
    "of Galen",
    "of Hollis",
    "of Istria",
    "of Jarrow",
    "of Kestrel",
    "of Lorne",
    "of Maddox",
    "of Norrland",
    "of Orsino",
    "of Perrin",
    "of Quill",
    "of Redmoor",
    "of Selwyn",
    "of Tamsin",
    "of Umbria",
    "of Varga",
    "of Wexford",
]

_NUMERALS = ("", " II", " III", " IV", " V", " VI", " VII", " VIII", " IX", " X")


def make_titles(
    genre: NDArray[np.integer],
    facet: NDArray[np.integer],
    series: NDArray[np.integer],
    position: NDArray[np.integer],
    year: NDArray[np.integer],
    facets_per_genre: int,
) -> list[str]:
    """One title an item, all different: genre words by facet, a tail, a numeral, ``(year)``.

    Args:
      genre: ``[num_items]`` index into `GENRES`.
      facet: ``[num_items]`` facet within the genre, below `facets_per_genre`.
      series: ``[num_items]`` number of the series within its (genre, facet), from 0.
      position: ``[num_items]`` position in the series, from 0.
      year: ``[num_items]`` year of release.
      facets_per_genre: how many parts the twelve nouns of a genre are dealt to; at most `NOUNS_PER_GENRE`.
    """
    words = [[part.split() for part in _WORDS[name].split("|")] for name in GENRES]
    return [
        f"{_series_title(words[g][0], words[g][1], f, s, facets_per_genre)}{_NUMERALS[p]} ({y})"
        for g, f, s, p, y in zip(*(a.tolist() for a in (genre, facet, series, position, year)), strict=True)
    ]


def _series_title(adjectives: list[str], nouns: list[str], facet: int, series: int, facets: int) -> str:
    """Series number -> adjective, noun and tail in mixed radix, so that no two series share all three."""
    own = nouns[facet * len(nouns) // facets : (facet + 1) * len(nouns) // facets]
    # Steps coprime to their radix, so that neighbouring series do not share a word.
    rest, adjective = divmod(series, len(adjectives))
    rest, noun = divmod(rest, len(own))
    again, tail = divmod(rest, len(_TAILS))
    tail = (tail * 5 + adjective * 7 + noun) % len(_TAILS)
    title = f"{adjectives[adjective]} {own[(noun + adjective) % len(own)]}"
    if _TAILS[tail]:
        title += f" {_TAILS[tail]}"
    return title if again == 0 else f"{title}, Part {again + 1}"
