"""Vocabulary of the value generators: names of people, teams, machines, places and things from many cultures.

Every list is a tuple, so that a seed gives the same value for ever; append, never reorder.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    """
    ana bob carla dmitri elif farid greta hiro ines jonas katya lamar mei nadia omar priya quentin rosa sven tariq
    ursula viktor wanda ximena yusuf zoe aisha bruno chiara david elena felix gustavo hannah ivan judith kwame leila
    marco noor olga pedro ravi saskia tomasz uma valentin wei yara zainab adaeze benoit celine diego emre fatima
    gareth hamid ingrid jamal kenji lucia mateo nils oksana paulo rahel sofia thabo umberto vera willem yuki zlatan
    andré björn çiğdem dörte élodie françois gülay håkan íñigo jörg łukasz márta núria öykü renée søren šárka tõnu
    ünal ying žofia amara bilal cosmin dagmar eero fiona giorgos hye-jin isla joao kofi lien mira nkechi orhan petra
    ron sanne tuomas vikram wendy anaïs bo cy ed flo gus hal ian jo kim lou max ned ola pat ray sam tim val wil
    """
)
LAST_NAMES = _words(
    """
    abebe bauer costa dietrich eriksen fischer garcia haddad ibrahim jansen kowalski lindqvist moreau nakamura okafor
    petrov quiroga rossi schmidt tanaka ueda vargas weber xu yilmaz zhang almeida brandt castillo dubois engel ferrari
    goldberg hernandez ivanova jimenez khan larsen mbeki novak olsen patel rahman santos teixeira ulrich vandenberg
    wagner yamamoto zimmermann acheampong boateng chaudhry delgado esposito fernandez gruber hoffmann iyer johansson
    keller lambert mendes ngata oneill popescu reyes silva thapa udo villanueva walsh yoon zapata allard becker cohen
    duarte eklund fontaine gonzalez horvath ismail juarez kaya leclerc marino nguyen osei pereira rinaldi stein torres
    usman vogel winter ye zeller brodie clark dunn evans ford grantham hale irwin jones kerr lowe mills nash owens pratt
    ryder stone tate upton vance west young bryant castell mäkinen müller nuñez peña sørensen weiß žukauskas şahin
    """
)
TEAMS = _words(
    """
    accounting admins analysts apprentices archive assembly auditors backoffice billing board buyers callcenter
    catering chemists cleaners clinic compliance contractors controlling customs design developers dispatch docs
    drivers editors electricians engineering events executives facilities field finance frontdesk guests helpdesk hr
    interns inventory kitchen lab laboratory legal librarians logistics maintenance managers marketing medics media
    night-shift nurses office operators orders payroll pharmacy photo pilots planning press procurement production
    purchasing quality radiology readers reception recruiting remote research sales scouts secretaries security
    services shipping staff studio support surveyors teachers technicians testers trainees transport travel
    treasury tutors vendors warehouse webteam welding workshop writers buchhaltung einkauf vertrieb werkstatt lager
    comptabilité ventes achats atelier contabilità magazzino ventas almacén logistik personal produktion
    """
)
THINGS = _words(
    """
    albums archive artwork backups blueprints bookings brochures budgets cad-files campaigns catalogue claims
    clips contracts courses datasheets deliveries designs dropbox exams expenses exports faxes films firmware
    footage forms games handbook images imports incoming installers inventory invoices journals layouts leases
    lessons letters licences logbooks logos manuals maps measurements media menus minutes models movies music news
    notes orders outgoing patches patients permits photos plans playlists policies portfolio posters prices
    printing projects proofs protocols quotes raw receipts recipes recordings reports rosters samples scans
    schedules scripts sensors sermons sheets slides software specs surveys templates tenders timesheets tools
    training transfer trips tutorials uploads vault videos vouchers wiki xray yearbook rechnungen vorlagen fotos
    factures modèles documenti ricette informes planos tekeningen raporty
    """
)
HOST_ROLES = _words(
    """
    api app archive auth backup bastion billing blog board build cache calendar camera cam cdn chat ci cloud cms
    console crm dash db demo dev dns docs edge erp esx files ftp fw gate git gitlab grafana graph gw hub id imap
    infra intranet inventory jenkins jump kiosk kube lab ldap learn legacy lib lic log lab-pc mail media meet
    metrics mirror mon mx nas news node ns ntp office ops pad pay pbx phone pi pics plc portal pos press print
    printer proxy pxe queue radius rdp relay repo router rsync sandbox scan search shop sip smtp soc sql sso stage
    static status store stream support switch sync syslog test ticket time tv vault video voip vpn web webmail wifi
    wiki www zabbix drucker kasse lager impresora caisse stampante
    """
)
DOMAIN_WORDS = _words(
    """
    acme alder alpina amber anchor argon aurora baker basalt beacon birch blau bluefin boreal brook cedar clover
    cobalt copper coral corvus crane dahlia delta dune ember falcon fenwick fjord flint foxglove garnet ginkgo
    granite grove harbor hazel heron hillside indigo iris ivory jasper juniper kestrel lagoon larch lark linden
    lotus lumen maple marigold meadow merlin mistral nimbus nordwind nova oakleaf onyx opal orchard osprey otter
    pebble pinecone plover poppy quartz quill raven redwood ridge river rowan saffron sage sequoia silva solstice
    sparrow spruce summit swift tamarack tern thistle tidal topaz tulip umber vale verde violet walnut wharf willow
    wren xenon yarrow zephyr backerei-klein cafe-luna dr-weiss fahrrad-huber hotel-stella kanzlei-roth
    """
)
TLDS = _words(
    """
    lan local internal home.arpa example corp intra com net org de at ch fr it es nl pl se dk eu io dev co.uk
    com.br com.au co.za example.com example.org example.net lab office private test site cloud shop
    """
)
SITES = _words(
    "hq dc1 dc2 eu us apac north south east west berlin paris lyon roma wien lagos tokyo oslo leeds store9 branch2"
    " floor3 plant1 rack4 prod stage dev test"
)
FOLDERS = _words(
    "srv data home mnt export shares storage volumes opt var media tank pool users groups public private archive"
    " backup projects customers 2023 2024 2025 common team nas disk1 disk2 raid vol1 zfs www lib tmp"
)
WINDOWS_FOLDERS = (
    "Users", "Data", "Shares", "Program Files", "Public Documents", "Projects", "Archive", "Backup", "inetpub",
    "Department Files", "Temp", "Company Data", "Finance", "Scans", "Installers", "Old Files", "HR", "Daten",
)  # fmt: skip
SERVICES = (
    "ssh", "http", "https", "smtp", "smtps", "imap", "imaps", "pop3", "pop3s", "dns", "domain", "ntp", "snmp", "ftp",
    "sftp", "tftp", "ldap", "ldaps", "mysql", "postgresql", "redis", "rdp", "vnc", "telnet", "syslog", "nfs", "samba",
    "smb", "microsoft-ds", "kerberos", "mqtt", "wireguard", "openvpn", "isakmp", "sip", "git", "rsync", "ipp", "cups",
    "submission", "mongodb", "amqp", "xmpp-client", "irc", "dhcp", "bgp", "radius", "iperf3", "prometheus", "memcache",
)  # fmt: skip
PORTS = (
    20, 21, 22, 23, 25, 53, 67, 69, 80, 88, 110, 123, 135, 139, 143, 161, 179, 389, 443, 445, 465, 500, 514, 515, 546,
    587, 631, 636, 853, 873, 989, 990, 993, 995, 1080, 1194, 1433, 1521, 1723, 1883, 2049, 2222, 2375, 3000, 3128,
    3260, 3306, 3389, 4500, 5000, 5060, 5173, 5222, 5353, 5432, 5601, 5672, 5900, 5985, 6379, 6443, 6667, 8000, 8006,
    8080, 8081, 8123, 8443, 8883, 8888, 9000, 9090, 9092, 9100, 9200, 9418, 10000, 11211, 15672, 25565, 27017, 51820,
)  # fmt: skip
LINUX_INTERFACES = (
    "eth", "ens", "eno", "em", "wlan", "wlp2s", "enp3s", "enp0s", "br", "bond", "team", "wg", "tun", "tap", "vmbr",
    "veth", "lan", "wan", "igb", "vmx", "docker", "virbr", "lagg", "re", "ix", "en",
)  # fmt: skip
WINDOWS_INTERFACES = (
    "Ethernet", "Wi-Fi", "Local Area Connection", "LAN-Verbindung", "vEthernet", "Ethernet0", "WLAN", "Team Adapter",
    "Intel NIC", "Office LAN", "Uplink", "Management", "Server LAN",
)  # fmt: skip
PASSWORD_WORDS = _words(
    "autumn banjo cactus dragon elbow falcon giraffe hammock igloo jacket kettle lantern mango noodle orbit pepper"
    " quokka rocket saddle tiger umbrella velvet waffle yonder zebra sommer winter hund katze schloss soleil fromage"
    " gatto vespa perro luna correct horse battery staple coffee bicycle thunder pirate marble cinnamon"
)
PLAIN_WORDS = _words(
    "amber basket candle daily early figure gentle harbor island jungle kindly little market narrow orange paper"
    " quiet river silver table under velvet window yellow bright castle dinner evening forest garden hollow ivory"
    " journey kitchen letter morning northern ocean picture quarter resting summer train uphill village weekly"
)
